// SPDX-License-Identifier: MIT
/* Every size and every alignment there is. */
#include "size_class.h"

#include "ready.h"
#include "ready.h"
#include "span.h"
#include "suite.h"

START_TEST(every_size_has_the_smallest_class_that_holds_it)
{
	for (size_t size = 0; size <= SMALL_MAX; size++) {
		unsigned int class = size_class_of(size);

		must(class < CLASS_COUNT);
		must(tract__class_size[class] >= size);
		if (class)
			must(tract__class_size[class - 1] < size);
	}
}
END_TEST

START_TEST(classes_in_the_table_have_blocks_ready)
{
	must(tract__class_size[READY_CLASSES - 1] == CLASS_TABLE_MAX);
}
END_TEST

START_TEST(beyond_either_a_class_or_units_waste_less)
{
	for (size_t size = SMALL_MAX + 1; size <= 2 * MEDIUM_MAX; size++) {
		unsigned int class = tract__size_class_beyond(size);
		size_t units = align_up(size, UNIT_SIZE);

		must(class <= CLASS_COUNT);
		if (class < CLASS_COUNT)
			must(tract__class_size[class] >= size &&
			     tract__class_size[class] < units);
		else
			must(size > MEDIUM_MAX || 3 * units <= 4 * (size - 1));
	}
}
END_TEST

START_TEST(classes_waste_at_most_an_eighth)
{
	for (unsigned int class = 1; tract__class_size[class] <= SMALL_MAX;
	     class ++) {
		size_t smallest = tract__class_size[class - 1] + 1u;

		must(tract__class_size[class] % 16 == 0);
		/* Below 128 the step of 16 bytes rules. */
		if (smallest > 128)
			must(8 * tract__class_size[class] <= 9 * smallest);
	}
}
END_TEST

START_TEST(aligned_classes_are_multiples)
{
	for (size_t align = 16; align <= SMALL_MAX; align *= 2) {
		for (size_t size = align; size <= SMALL_MAX; size += align) {
			unsigned int class = size_class_aligned(size, align);

			must(class < CLASS_COUNT);
			must(tract__class_size[class] >= size);
			must(tract__class_size[class] % align == 0);
		}
	}
}
END_TEST

START_TEST(spans_waste_at_most_a_tenth)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		size_t span = size_class_units(class) * UNIT_SIZE;

		must(span >= tract__class_size[class]);
		must(span % tract__class_size[class] * 10 <= span);
		must(size_class_units(class) <= 5);
	}
}
END_TEST

static struct span span_of(unsigned int class, char *base)
{
	unsigned int size = tract__class_size[class];
	struct span span = { .base = base };

	span_set_block_size(&span, size);
	span.block_count =
		(uint32_t)(size_class_units(class) * UNIT_SIZE / size);
	return span;
}

START_TEST(index_tells_starts_of_blocks_from_all_else)
{
	char *base = (char *)(uintptr_t)0x7f1200340000;

	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct span span = span_of(class, base);
		size_t end = size_class_units(class) * UNIT_SIZE;

		for (size_t at = 0; at < end; at++) {
			uint64_t index = span_index(&span, base + at);

			if (at % span.block_size == 0 &&
			    at / span.block_size < span.block_count)
				must(index == at / span.block_size);
			else
				must(index >= span.block_count);
		}
	}
}
END_TEST

/* And the ready classes' spans have one. */
START_TEST(in_the_first_unit_half_the_bits_tell_as_much)
{
	char *base = (char *)(uintptr_t)0x7f1200340000;

	for (unsigned int class = 0; tract__class_size[class] <= SMALL_MAX;
	     class ++) {
		struct span span = span_of(class, base);

		/* And what is left over at its end is told by a bit. */
		must(class >= READY_CLASSES ||
		     (size_class_units(class) == 1 &&
		      (span.block_count % 64 ||
		       UNIT_SIZE % span.block_size == 0)));
		for (size_t at = 0; at < UNIT_SIZE; at++) {
			uint64_t index = span_index(&span, base + at);
			uint32_t same;

			if (unit_index(&span, at, &same))
				must(same == index ||
				     (same >= span.block_count &&
				      index >= span.block_count));
			else
				must(index >= span.block_count);
		}
	}
}
END_TEST

START_TEST(index_refuses_pointers_from_anywhere)
{
	char *base = (char *)(uintptr_t)0x7f1200340000;

	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct span span = span_of(class, base);
		size_t end = (size_t)span.block_count * span.block_size;

		for (int i = 0; i < 100000; i++) {
			uintptr_t p = (uintptr_t)random_next();

			uint64_t index = span_index(&span, (void *)p);

			must(index >= span.block_count ||
			     p - (uintptr_t)base < end);
		}
		/* A valid address with a bit too many. */
		for (int bit = 19; bit < 64; bit++)
			must(span_index(&span, (void *)((uintptr_t)base +
							(1ull << bit))) >=
			     span.block_count);
	}
}
END_TEST

SUITE_MAIN("size_class", every_size_has_the_smallest_class_that_holds_it,
	   classes_waste_at_most_an_eighth, aligned_classes_are_multiples,
	   classes_in_the_table_have_blocks_ready,
	   beyond_either_a_class_or_units_waste_less,
	   spans_waste_at_most_a_tenth,
	   index_tells_starts_of_blocks_from_all_else,
	   in_the_first_unit_half_the_bits_tell_as_much,
	   index_refuses_pointers_from_anywhere)
