// SPDX-License-Identifier: MIT
/* What tractctl has to say: about the module, a process, a failure. */
#include "output.h"
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Under this share of vm.max_map_count left, a warning is due. */
#define HEADROOM_WARN_PERCENT 10

static struct field count_field(const char *key, const char *label, __u64 value)
{
	return (struct field){
		.kind = FIELD_COUNT, .key = key, .label = label, .number = value
	};
}

static struct field size_field(const char *key, const char *label, __u64 value)
{
	return (struct field){
		.kind = FIELD_SIZE, .key = key, .label = label, .number = value
	};
}

static struct field text_field(const char *key, const char *label,
			       const char *text)
{
	struct field field = { .kind = FIELD_TEXT, .key = key, .label = label };

	snprintf(field.text, sizeof(field.text), "%s", text);
	return field;
}

/* The names of the bits set, as words; one without a name goes by its number. */
static struct field names_field(const char *key, const char *label, __u64 bits,
				const char *const *names, size_t count)
{
	struct field field = { .kind = FIELD_TEXT, .key = key, .label = label };
	size_t used = 0;

	for (unsigned int bit = 0; bit < 64; bit++) {
		char number[16];
		const char *name = number;

		if (!(bits & (1ULL << bit)))
			continue;
		snprintf(number, sizeof(number), "bit-%u", bit);
		if (bit < count && names[bit])
			name = names[bit];
		if (used < sizeof(field.text))
			used += snprintf(field.text + used,
					 sizeof(field.text) - used, "%s%s",
					 used ? " " : "", name);
	}
	return field;
}

static const char *const feature_names[] = { "huge",	   "lockless-huge",
					     "shared-zap", "purge-map",
					     "trap",	   "island" };
static const char *const reserve_flag_names[] = { "nodump", "nohuge", "trap",
						  "near", "exec" };
static const char *const op_names[] = {
	[TRACT_OP_DECOMMIT] = "decommit", [TRACT_OP_POPULATE] = "populate",
	[TRACT_OP_COMMIT] = "commit",	  [TRACT_OP_GUARD] = "guard",
	[TRACT_OP_UNGUARD] = "unguard",	  [TRACT_OP_NODUMP] = "nodump",
	[TRACT_OP_DODUMP] = "dodump",	  [TRACT_OP_DISCARD] = "discard",
};

int output_info(const struct output *out, const struct tract_info *info)
{
	const struct field fields[] = {
		count_field("ABI_VERSION", "ABI version",
			    info->out_abi_version),
		names_field("FEATURES", "features", info->out_features,
			    feature_names, ARRAY_SIZE(feature_names)),
		names_field("RESERVE_FLAGS", "reservation flags",
			    info->out_reserve_flags, reserve_flag_names,
			    ARRAY_SIZE(reserve_flag_names)),
		names_field("OPERATIONS", "operations", info->out_op_mask,
			    op_names, ARRAY_SIZE(op_names)),
		count_field("BATCH_MAX", "operations in a batch, at most",
			    info->out_batch_max),
		size_field("PAGE_SIZE", "page", info->out_page_size),
		size_field("UNIT_SIZE", "unit", info->out_unit_size),
		size_field("ALIGN_MIN", "alignment, at least",
			   info->out_align_min),
		size_field("ALIGN_MAX", "alignment, at most",
			   info->out_align_max),
		count_field("RESERVATIONS_MAX",
			    "reservations of a process, at most",
			    info->out_reservations_max),
		size_field("BYTES_MAX", "reserved by a process, at most",
			   info->out_bytes_max),
		size_field("PURGE_MAP_BYTES_MAX",
			   "purge maps of a process, at most",
			   info->out_purge_map_bytes_max),
		size_field("PURGE_UNIT_MIN", "unit of a purge map, at least",
			   info->out_purge_unit_min),
		size_field("PURGE_UNIT_MAX", "unit of a purge map, at most",
			   info->out_purge_unit_max),
	};

	return table_print_object(out, "info", fields, ARRAY_SIZE(fields));
}

/* The command of a process; empty when it is gone or hidden. */
static void read_command(int pid, char *command, size_t size)
{
	char path[64];
	FILE *file;

	command[0] = '\0';
	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(command, (int)size, file))
		command[0] = '\0';
	command[strcspn(command, "\n")] = '\0';
	fclose(file);
}

static struct field command_field(int pid)
{
	struct field field = text_field("COMMAND", "command", "");

	read_command(pid, field.text, sizeof(field.text));
	return field;
}

/* Maps that the process may still make, in percent of the limit. */
static unsigned int headroom_percent(const struct tract_stats *stats)
{
	if (stats->out_map_count >= stats->out_map_max)
		return 0;
	return (unsigned int)((stats->out_map_max - stats->out_map_count) *
			      100 / stats->out_map_max);
}

/* Not for the system, a process that is gone, or without /proc. */
static bool headroom_known(const struct tract_stats *stats)
{
	return stats->out_map_count && stats->out_map_max;
}

static struct field maps_field(const struct tract_stats *stats)
{
	struct field field =
		count_field("MAPS", "maps (VMAs)", stats->out_map_count);

	field.absent = !stats->out_map_count;
	return field;
}

static struct field headroom_field(const struct tract_stats *stats)
{
	struct field field = { .kind = FIELD_PERCENT,
			       .key = "HEADROOM",
			       .label = "headroom of maps",
			       .absent = !headroom_known(stats) };

	if (!field.absent)
		field.number = headroom_percent(stats);
	return field;
}

#define PURGE_FIELDS 7

static void purge_fields(struct field *fields, const struct tract_stats *stats)
{
	const struct field purge[PURGE_FIELDS] = {
		count_field("OFFERED", "units offered in total",
			    stats->out_offered_units),
		count_field("REUSED", "units taken back intact",
			    stats->out_reused_units),
		size_field("PURGED_AGE", "purged for its age",
			   stats->out_purged_age_bytes),
		size_field("PURGED_PRESSURE", "purged because memory was short",
			   stats->out_purged_pressure_bytes),
		count_field("SWEEPS", "sweeps in total", stats->out_sweeps),
		count_field("SWEEP_US", "time in sweeps, us",
			    stats->out_sweep_ns / 1000),
		count_field("SKIPPED", "sweeps that found a child in the way",
			    stats->out_skipped_sweeps),
	};

	memcpy(fields, purge, sizeof(purge));
}

int output_stats(const struct output *out, int pid,
		 const struct tract_stats *stats)
{
	struct field fields[11 + PURGE_FIELDS];
	struct field maps_max =
		count_field("MAPS_MAX", "maps, at most", stats->out_map_max);
	size_t n = 0;

	if (pid) {
		fields[n++] = count_field("PID", "process", pid);
		fields[n++] = command_field(pid);
	}
	fields[n++] = count_field("RESERVATIONS", "reservations",
				  stats->out_reservations);
	fields[n++] =
		size_field("RESERVED", "reserved", stats->out_reserved_bytes);
	fields[n++] = size_field("POPULATED", "populated in total",
				 stats->out_populated_bytes);
	fields[n++] = size_field("DECOMMITTED", "decommitted in total",
				 stats->out_decommitted_bytes);
	fields[n++] = count_field("OPERATIONS", "operations in total",
				  stats->out_operations);
	fields[n++] = count_field("REFUSED", "of them refused after a fork",
				  stats->out_refused_zaps);
	purge_fields(&fields[n], stats);
	n += PURGE_FIELDS;
	if (pid) {
		maps_max.absent = !stats->out_map_max;
		fields[n++] = maps_field(stats);
		fields[n++] = maps_max;
		fields[n++] = headroom_field(stats);
	}
	if (pid && !stats->out_reservations)
		fprintf(stderr,
			"tractctl: process %d has no reservations: its memory is not on tract\n",
			pid);
	return table_print_object(out, "stat", fields, n);
}

int output_sample(const struct output *out, int pid,
		  const struct tract_stats *stats, bool first)
{
	/* Widths of the widest values that are likely: columns stay put. */
	struct field fields[] = {
		text_field("TIME", "", ""),
		count_field("RESERVATIONS", "", stats->out_reservations),
		size_field("RESERVED", "", stats->out_reserved_bytes),
		size_field("POPULATED", "", stats->out_populated_bytes),
		size_field("DECOMMITTED", "", stats->out_decommitted_bytes),
		count_field("OPERATIONS", "", stats->out_operations),
		count_field("REFUSED", "", stats->out_refused_zaps),
		maps_field(stats),
		headroom_field(stats),
	};
	size_t n = ARRAY_SIZE(fields);
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(fields[0].text, sizeof(fields[0].text),
		 out->json ? "%FT%T%z" : "%T", &tm);
	if (!pid)
		n -= 2;
	for (size_t i = 0; i < n; i++) {
		fields[i].width = (unsigned int)strlen(fields[i].key) + 1;
		if (fields[i].width < 8)
			fields[i].width = 8;
		if (fields[i].kind == FIELD_SIZE)
			fields[i].width = out->bytes ? 16 : 12;
	}
	return table_print_sample(out, "stat", fields, n, first);
}

#define LIST_COLUMNS 11

static void list_fields(struct field *fields, const struct tract_stats *stats)
{
	char address[32];
	size_t n = 0;

	snprintf(address, sizeof(address), "0x%llx",
		 (unsigned long long)stats->out_address);
	fields[n] = count_field("PID", "", stats->out_pid);
	fields[n++].absent = !stats->out_pid;
	fields[n++] = command_field(stats->out_pid);
	fields[n++] = count_field("ID", "", stats->out_id);
	fields[n++] = text_field("ADDRESS", "", address);
	fields[n++] = size_field("RESERVED", "", stats->out_reserved_bytes);
	fields[n++] = size_field("POPULATED", "", stats->out_populated_bytes);
	fields[n++] =
		size_field("DECOMMITTED", "", stats->out_decommitted_bytes);
	fields[n++] = count_field("OPERATIONS", "", stats->out_operations);
	fields[n++] = count_field("REFUSED", "", stats->out_refused_zaps);
	fields[n++] = names_field("FLAGS", "", stats->out_reserve_flags,
				  reserve_flag_names,
				  ARRAY_SIZE(reserve_flag_names));
	fields[n++] = headroom_field(stats);
}

struct libscols_table *output_list_new(const struct output *out)
{
	static const struct tract_stats none;
	struct field fields[LIST_COLUMNS];

	list_fields(fields, &none);
	return table_new(out, "reservations", fields, LIST_COLUMNS);
}

int output_list_add(const struct output *out, struct libscols_table *table,
		    const struct tract_stats *stats)
{
	struct field fields[LIST_COLUMNS];

	list_fields(fields, stats);
	return table_add(out, table, fields, LIST_COLUMNS);
}

bool output_headroom_warning(int pid, const struct tract_stats *stats)
{
	char command[64];

	if (!headroom_known(stats) ||
	    headroom_percent(stats) >= HEADROOM_WARN_PERCENT)
		return false;
	read_command(pid, command, sizeof(command));
	fprintf(stderr,
		"tractctl: warning: process %d (%s) has %llu of at most %llu maps, %u %% are left.\n"
		"  At the limit its mmap, munmap and madvise fail. Find what splits its map in\n"
		"  /proc/%d/maps, or raise the limit: sysctl vm.max_map_count=%llu\n",
		pid, command, (unsigned long long)stats->out_map_count,
		(unsigned long long)stats->out_map_max, headroom_percent(stats),
		pid, (unsigned long long)stats->out_map_max * 2);
	return true;
}

static const char *advice(int err, int pid)
{
	switch (-err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return "The tract module is not loaded: insmod kmod/tract.ko, or modprobe tract.";
	case EACCES:
		return "Its permissions keep you out; the module makes it with mode 0666.";
	case EPERM:
		return pid ? "Ask as the user that runs the process, or as root (CAP_SYS_PTRACE)." :
			     "Only CAP_SYS_PTRACE, for example root, may ask about the whole system; 'tractctl stat PID' asks about a process of yours.";
	case ESRCH:
		return "It has ended, or is in another pid namespace. 'pgrep -a NAME' finds process ids.";
	case ENOTTY:
	case EINVAL:
	case E2BIG:
	case EOPNOTSUPP:
		return "The module and this program are of different versions: build and load both from the same source.";
	default:
		return NULL;
	}
}

void output_error(const char *what, int err, int pid)
{
	const char *next = advice(err, pid);

	if (pid)
		fprintf(stderr, "tractctl: %s %d: %s\n", what, pid,
			strerror(-err));
	else
		fprintf(stderr, "tractctl: %s: %s\n", what, strerror(-err));
	if (next)
		fprintf(stderr, "  %s\n", next);
}
