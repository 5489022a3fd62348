# SPDX-License-Identifier: MIT
# Regular expressions, hashes of hashes, strings that grow: a known result.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my $seed = 12345;

sub number {
	$seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
	return $seed % $_[0];
}

my %count;
my $text = '';
for (1 .. 200_000) {
	my $word = join '', map { chr(97 + number(6)) } 1 .. 2 + number(6);
	$count{length $word}{$word}++;
	$text .= "$word ";
}
my $found = 0;
$found++ while $text =~ /\b(\w)(\w)\w*\2\1\b/g;
(my $swapped = $text) =~ s/(\w+) (\w+)/$2 $1/g;
my @sorted = sort { $a cmp $b } split ' ', $swapped;

my $sum = '';
for my $length (sort keys %count) {
	$sum .= "$length:$_=$count{$length}{$_};"
	    for sort keys %{ $count{$length} };
}
delete $count{$_} for 2 .. 5;
my %again = map { $_ => [ (length) x 10 ] } @sorted;
printf "%d %s %s %d\n", $found, sha256_hex($sum),
    sha256_hex("@sorted"), scalar keys %again;
