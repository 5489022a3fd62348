// SPDX-License-Identifier: MIT
#include "stats.h"

#include "arena.h"
#include "backend.h"
#include "large.h"
#include "remote.h"
#include "report.h"
#include "size_class.h"

/* The last entry counts large blocks. */
#define LARGE CLASS_COUNT

struct census {
	size_t spans[CLASS_COUNT + 1];
	size_t span_bytes[CLASS_COUNT + 1];
	size_t blocks[CLASS_COUNT + 1];
	size_t block_bytes[CLASS_COUNT + 1];
};

static size_t live_blocks(const struct span *span)
{
	size_t live = span->block_count;

	for (unsigned int i = 0; i < span->words; i++)
		live -= (size_t)__builtin_popcountll(
			read_once(&span->free_bits[i]) |
			read_once(&span->remote_bits[i]));
	return live;
}

static void count_span(struct span *span, void *arg)
{
	struct census *census = arg;
	unsigned int class = LARGE;
	size_t blocks = 1;
	size_t bytes;

	if (span->kind == SPAN_SMALL) {
		/* One that is being made has no blocks yet. */
		if (!span->free_bits || !span->words)
			return;
		class = span->class;
		blocks = live_blocks(span);
		bytes = blocks * span->block_size;
	} else {
		bytes = tract__large_usable(span);
	}
	census->spans[class]++;
	census->span_bytes[class] += span->units * UNIT_SIZE;
	census->blocks[class] += blocks;
	census->block_bytes[class] += bytes;
}

static void get(struct tract_heap_stats *stats, struct census *census)
{
	struct arena_stats arena;

	size_t gathered[CLASS_COUNT] = { 0 };

	*census = (struct census){ 0 };
	tract__arena_visit(count_span, census);
	tract__remote_count(gathered);
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		census->blocks[class] -= gathered[class];
		census->block_bytes[class] -=
			gathered[class] * tract__class_size[class];
	}
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
	for (int i = 0; i <= CLASS_COUNT; i++) {
		stats->live_blocks += census->blocks[i];
		stats->live_bytes += census->block_bytes[i];
	}
}

void tract__stats_get(struct tract_heap_stats *stats)
{
	struct census census;

	get(stats, &census);
}

int tract__stats_write_xml(FILE *stream)
{
	struct tract_heap_stats s;
	struct census census;

	get(&s, &census);
	fprintf(stream,
		"<malloc version=\"tract-1\" backend=\"%s\">\n"
		"<reservations count=\"%zu\" bytes=\"%zu\"/>\n"
		"<live count=\"%zu\" bytes=\"%zu\"/>\n"
		"<spans bytes=\"%zu\" allocated=\"%llu\" freed=\"%llu\"/>\n"
		"<dirty bytes=\"%zu\"/>\n"
		"<decommitted bytes=\"%llu\"/>\n"
		"<metadata bytes=\"%zu\"/>\n",
		tract__backend_name(), s.reservations, s.reserved_bytes,
		s.live_blocks, s.live_bytes, s.span_bytes,
		(unsigned long long)s.spans_allocated,
		(unsigned long long)s.spans_freed, s.dirty_bytes,
		(unsigned long long)s.decommitted_bytes, s.metadata_bytes);
	fprintf(stream, "<classes>\n");
	for (int i = 0; i < CLASS_COUNT; i++) {
		if (census.spans[i])
			fprintf(stream,
				"<class size=\"%u\" live=\"%zu\" spans=\"%zu\" "
				"bytes=\"%zu\"/>\n",
				tract__class_size[i], census.blocks[i],
				census.spans[i], census.span_bytes[i]);
	}
	fprintf(stream,
		"<large live=\"%zu\" live_bytes=\"%zu\" bytes=\"%zu\"/>\n"
		"</classes>\n</malloc>\n",
		census.blocks[LARGE], census.block_bytes[LARGE],
		census.span_bytes[LARGE]);
	return ferror(stream) ? -1 : 0;
}

void tract__stats_report(int fd)
{
	struct tract_heap_stats s;
	struct census census;

	get(&s, &census);
	tract__report(fd,
		      "tract %s\n"
		      "backend            %20s\n"
		      "reservations       %20zu\n"
		      "reserved bytes     %20zu\n"
		      "live blocks        %20zu\n"
		      "live bytes         %20zu\n"
		      "span bytes         %20zu\n"
		      "dirty bytes        %20zu\n"
		      "metadata bytes     %20zu\n"
		      "decommitted bytes  %20llu\n"
		      "spans allocated    %20llu\n"
		      "spans freed        %20llu\n",
		      TRACT_VERSION, tract__backend_name(), s.reservations,
		      s.reserved_bytes, s.live_blocks, s.live_bytes,
		      s.span_bytes, s.dirty_bytes, s.metadata_bytes,
		      (unsigned long long)s.decommitted_bytes,
		      (unsigned long long)s.spans_allocated,
		      (unsigned long long)s.spans_freed);
}
