// SPDX-License-Identifier: MIT
#include "stats.h"

#include "arena.h"
#include "backend.h"
#include "bitops.h"
#include "hardened.h"
#include "large.h"
#include "options.h"
#include "remote.h"
#include "report.h"
#include "size_class.h"

#define LARGE CLASS_COUNT

static size_t live_blocks(const struct span *span)
{
	size_t live = span->block_count;

	for (unsigned int i = 0; i < span->words; i++) {
		live -= bit_count(read_once(&span->tally->bits[i].free) |
				  span_remote(span, i));
	}
	return live;
}

static void count_small(const struct span *span,
			struct tract_class_stats *class)
{
	size_t live = live_blocks(span);

	class->live_blocks += live;
	class->live_bytes += live * span->block_size;
	class->cached_blocks += span->block_count - live;
	class->cached_bytes += (span->block_count - live) * span->block_size;
}

static void count_span(struct span *span, void *arg)
{
	struct tract_class_stats *classes = arg, *class = &classes[LARGE];

	if (span->kind == SPAN_SMALL) {
		/* One that is being made has no blocks yet. */
		if (!span->tally || !span->words)
			return;
		class = &classes[span->class];
		count_small(span, class);
	} else {
		class->live_blocks++;
		class->live_bytes += tract__large_usable(span);
	}
	class->spans++;
	class->span_bytes += span->units * UNIT_SIZE;
}

/* Freed, but the span has not been told: free all the same. */
static void count_gathered(struct tract_class_stats *classes)
{
	size_t gathered[CLASS_COUNT] = { 0 };

	tract__remote_count(gathered);
	if (tract__options.hardened)
		tract__hardened_count(gathered);
	for (unsigned int i = 0; i < CLASS_COUNT; i++) {
		size_t bytes;

		/* Not at rest there may be some that were not seen to live. */
		if (gathered[i] > classes[i].live_blocks)
			gathered[i] = classes[i].live_blocks;
		bytes = gathered[i] * tract__class_size[i];
		classes[i].live_blocks -= gathered[i];
		classes[i].live_bytes -= bytes;
		classes[i].cached_blocks += gathered[i];
		classes[i].cached_bytes += bytes;
	}
}

void tract__stats_get_classes(struct tract_class_stats classes[STATS_CLASSES])
{
	for (unsigned int i = 0; i < STATS_CLASSES; i++)
		classes[i] = (struct tract_class_stats){
			.block_size = i == LARGE ? 0 : tract__class_size[i],
		};
	tract__arena_visit(count_span, classes);
	count_gathered(classes);
}

static void get(struct tract_heap_stats *stats,
		struct tract_class_stats classes[STATS_CLASSES])
{
	struct arena_stats arena;

	tract__stats_get_classes(classes);
	tract__arena_stats(&arena);
	*stats = (struct tract_heap_stats){
		.reservations = arena.reservations,
		.reserved_bytes = arena.reserved_bytes,
		.span_bytes = arena.span_bytes,
		.dirty_bytes = arena.dirty_bytes,
		.metadata_bytes = arena.metadata_bytes,
		.decommitted_bytes = arena.purged_bytes,
		.spans_allocated = arena.runs_allocated,
		.spans_freed = arena.runs_freed,
	};
	for (int i = 0; i < STATS_CLASSES; i++) {
		stats->live_blocks += classes[i].live_blocks;
		stats->live_bytes += classes[i].live_bytes;
		stats->cached_blocks += classes[i].cached_blocks;
		stats->cached_bytes += classes[i].cached_bytes;
	}
}

void tract__stats_get(struct tract_heap_stats *stats)
{
	struct tract_class_stats classes[STATS_CLASSES];

	get(stats, classes);
}

static void write_class(FILE *stream, const struct tract_class_stats *class)
{
	char size[32] = "large";

	if (!class->spans)
		return;
	if (class->block_size)
		snprintf(size, sizeof(size), "class size=\"%zu\"",
			 class->block_size);
	fprintf(stream,
		"<%s spans=\"%zu\" bytes=\"%zu\" live=\"%zu\" "
		"live_bytes=\"%zu\" cached=\"%zu\" cached_bytes=\"%zu\"/>\n",
		size, class->spans, class->span_bytes, class->live_blocks,
		class->live_bytes, class->cached_blocks, class->cached_bytes);
}

int tract__stats_write_xml(FILE *stream)
{
	struct tract_heap_stats s;
	struct tract_class_stats classes[STATS_CLASSES];

	get(&s, classes);
	fprintf(stream,
		"<malloc version=\"tract-1\" backend=\"%s\">\n"
		"<reservations count=\"%zu\" bytes=\"%zu\"/>\n"
		"<live count=\"%zu\" bytes=\"%zu\"/>\n"
		"<cached count=\"%zu\" bytes=\"%zu\"/>\n"
		"<spans bytes=\"%zu\" allocated=\"%llu\" freed=\"%llu\"/>\n"
		"<dirty bytes=\"%zu\"/>\n"
		"<decommitted bytes=\"%llu\"/>\n"
		"<metadata bytes=\"%zu\"/>\n",
		tract__backend_name(), s.reservations, s.reserved_bytes,
		s.live_blocks, s.live_bytes, s.cached_blocks, s.cached_bytes,
		s.span_bytes, (unsigned long long)s.spans_allocated,
		(unsigned long long)s.spans_freed, s.dirty_bytes,
		(unsigned long long)s.decommitted_bytes, s.metadata_bytes);
	fprintf(stream, "<classes>\n");
	for (int i = 0; i < STATS_CLASSES; i++)
		write_class(stream, &classes[i]);
	fprintf(stream, "</classes>\n</malloc>\n");
	return ferror(stream) ? -1 : 0;
}

static void report_class(int fd, const struct tract_class_stats *class)
{
	char size[24] = "large";

	if (!class->spans)
		return;
	if (class->block_size)
		snprintf(size, sizeof(size), "%zu", class->block_size);
	tract__report(fd, "%-10s %9zu %13zu %11zu %13zu %11zu %13zu\n", size,
		      class->spans, class->span_bytes, class->live_blocks,
		      class->live_bytes, class->cached_blocks,
		      class->cached_bytes);
}

void tract__stats_report(int fd)
{
	struct tract_heap_stats s;
	struct tract_class_stats classes[STATS_CLASSES];

	get(&s, classes);
	tract__report(fd,
		      "tract %s\n"
		      "backend            %20s\n"
		      "reservations       %20zu\n"
		      "reserved bytes     %20zu\n"
		      "live blocks        %20zu\n"
		      "live bytes         %20zu\n"
		      "cached blocks      %20zu\n"
		      "cached bytes       %20zu\n"
		      "span bytes         %20zu\n"
		      "dirty bytes        %20zu\n"
		      "metadata bytes     %20zu\n"
		      "decommitted bytes  %20llu\n"
		      "spans allocated    %20llu\n"
		      "spans freed        %20llu\n",
		      TRACT_VERSION, tract__backend_name(), s.reservations,
		      s.reserved_bytes, s.live_blocks, s.live_bytes,
		      s.cached_blocks, s.cached_bytes, s.span_bytes,
		      s.dirty_bytes, s.metadata_bytes,
		      (unsigned long long)s.decommitted_bytes,
		      (unsigned long long)s.spans_allocated,
		      (unsigned long long)s.spans_freed);
	tract__report(fd, "%-10s %9s %13s %11s %13s %11s %13s\n", "blocks of",
		      "spans", "bytes", "live", "bytes", "cached", "bytes");
	for (int i = 0; i < STATS_CLASSES; i++)
		report_class(fd, &classes[i]);
}
