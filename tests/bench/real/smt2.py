# SPDX-License-Identifier: MIT
"""Writes an SMT2 problem: products to be taken apart, tables to be filled."""

import sys


def product(name, bits, value, out):
    """The factors of a product of two primes: there is one answer."""
    out.append(f"(push)\n(declare-const {name}p (_ BitVec {bits}))\n"
               f"(declare-const {name}q (_ BitVec {bits}))")
    wide = 2 * bits
    out.append(f"(assert (= (bvmul ((_ zero_extend {bits}) {name}p) "
               f"((_ zero_extend {bits}) {name}q)) (_ bv{value} {wide})))")
    out.append(f"(assert (bvule {name}p {name}q))\n"
               f"(assert (bvugt {name}p (_ bv1 {bits})))")
    out.append(f"(check-sat)\n(get-value ({name}p {name}q))\n(pop)")


def latin(size, shift, out):
    """A Latin square of which the first row and column are given, twice over."""
    out.append("(push)")
    for r in range(size):
        for c in range(size):
            out.append(f"(declare-const x{r}_{c} Int)\n"
                       f"(assert (and (<= 0 x{r}_{c}) (< x{r}_{c} {size})))")
    for i in range(size):
        row = " ".join(f"x{i}_{c}" for c in range(size))
        column = " ".join(f"x{r}_{i}" for r in range(size))
        out.append(f"(assert (distinct {row}))\n(assert (distinct {column}))")
        out.append(f"(assert (= x0_{i} {(i + shift) % size}))")
        out.append(f"(assert (= (mod (- x{i}_1 x{i}_0) {size}) 1))")
    out.append("(check-sat)\n(pop)")


def lists(length, out):
    """Folds over a list built of constructors: many small terms."""
    out.append("(push)\n(declare-datatypes ((L 0)) (((nil) (cons (h Int) (t L)))))")
    out.append("(define-fun-rec total ((l L)) Int "
               "(ite (= l nil) 0 (+ (h l) (total (t l)))))")
    term = "nil"
    for i in range(length):
        term = f"(cons {i * 7919 % 1000} {term})"
    want = sum(i * 7919 % 1000 for i in range(length))
    out.append(f"(assert (not (= (total {term}) {want})))\n(check-sat)\n(pop)")


def main():
    """The file named first."""
    out = ["; SPDX-License-Identifier: MIT", "(set-option :print-success false)"]
    for n, value in enumerate((2039 * 2029, 4093 * 4091, 8191 * 8179,
                              8171 * 8167, 7919 * 7907, 8123 * 8117)):
        product(f"v{n}", 13, value, out)
    for size in (5, 6, 7):
        latin(size, 3, out)
    lists(200, out)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(out) + "\n")


main()
