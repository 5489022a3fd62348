// SPDX-License-Identifier: MIT
/* tractctl: ask the tract module what is going on. */
#include "device.h"
#include "output.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_NO_MODULE = 3,
};

enum command {
	CMD_NONE,
	CMD_INFO,
	CMD_STAT,
	CMD_LIST
};

struct arguments {
	struct output out;
	enum command command;
	int pid;	 /* 0: none named */
	bool pid_option; /* it was named by --pid */
	double watch;	 /* seconds; 0: once */
};

#define WATCH_DEFAULT 2.0
#define WATCH_MIN 0.1
#define WATCH_MAX 86400.0

const char *argp_program_version = "tractctl (tract), ABI 1";

static const char doc[] =
	"Ask the tract kernel module what is going on."
	"\v"
	"Commands:\n"
	"  info                       what the module offers, and its limits\n"
	"  stat [PID]                 counters of a process; without PID, of the system\n"
	"  list                       every reservation that you may see\n"
	"\n"
	"Another process can be asked about by the same user, or with CAP_SYS_PTRACE; "
	"the system as a whole only with CAP_SYS_PTRACE.\n"
	"\n"
	"Exit status: 0 success, 1 error, 2 wrong usage, 3 no tract module.";

static const struct argp_option options[] = {
	{ "json", 'J', NULL, 0, "Print JSON; sizes are in bytes", 0 },
	{ "bytes", 'b', NULL, 0, "Print sizes in bytes", 0 },
	{ "pid", 'p', "PID", 0, "list: only the reservations of this process",
	  0 },
	{ "watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL,
	  "stat: repeat, every 2 seconds unless told otherwise", 0 },
	{ 0 }
};

static int parse_pid(struct argp_state *state, const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || *end || pid < 1 || pid > INT_MAX)
		argp_error(state, "'%s' is not a process id", text);
	return (int)pid;
}

static double parse_seconds(struct argp_state *state, const char *text)
{
	char *end;
	double seconds;

	if (!text)
		return WATCH_DEFAULT;
	seconds = strtod(text, &end);
	/* Written so that a NaN is refused too. */
	if (end == text || *end ||
	    !(seconds >= WATCH_MIN && seconds <= WATCH_MAX))
		argp_error(state, "'%s': SECONDS is from %g to %g", text,
			   WATCH_MIN, WATCH_MAX);
	return seconds;
}

static enum command parse_command(struct argp_state *state, const char *text)
{
	if (!strcmp(text, "info"))
		return CMD_INFO;
	if (!strcmp(text, "stat"))
		return CMD_STAT;
	if (!strcmp(text, "list"))
		return CMD_LIST;
	argp_error(state, "'%s' is not a command", text);
	return CMD_NONE;
}

/* An option or an argument that the command has no use for is a mistake. */
static void check_combination(struct argp_state *state,
			      const struct arguments *args)
{
	if (args->command == CMD_NONE)
		argp_error(state, "which command? info, stat or list");
	if (args->pid_option && args->command != CMD_LIST)
		argp_error(state, "--pid belongs to list");
	if (args->watch > 0 && args->command != CMD_STAT)
		argp_error(state, "--watch belongs to stat");
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'J':
		args->out.json = true;
		break;
	case 'b':
		args->out.bytes = true;
		break;
	case 'p':
		args->pid = parse_pid(state, text);
		args->pid_option = true;
		break;
	case 'w':
		args->watch = parse_seconds(state, text);
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			args->command = parse_command(state, text);
		else if (state->arg_num == 1 && args->command == CMD_STAT)
			args->pid = parse_pid(state, text);
		else
			argp_error(state, "'%s' is one argument too many",
				   text);
		break;
	case ARGP_KEY_END:
		check_combination(state, args);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int run_info(const struct arguments *args, int fd)
{
	struct tract_info info;
	int err = device_info(fd, &info);

	if (err) {
		output_error("info", err, 0);
		return EXIT_ERROR;
	}
	if (info.out_abi_version != TRACT_ABI_VERSION)
		fprintf(stderr,
			"tractctl: the module speaks ABI %u, this program ABI %u: what it shows may be incomplete\n",
			info.out_abi_version, (unsigned int)TRACT_ABI_VERSION);
	return output_info(&args->out, &info) ? EXIT_ERROR : EXIT_OK;
}

static int read_stats(int fd, int pid, struct tract_stats *stats)
{
	return pid ? device_process(fd, pid, stats) : device_system(fd, stats);
}

static int run_stat(const struct arguments *args, int fd)
{
	struct tract_stats stats;
	int err = read_stats(fd, args->pid, &stats);

	if (!err)
		err = output_stats(&args->out, args->pid, &stats);
	if (err) {
		output_error("stat", err, args->pid);
		return EXIT_ERROR;
	}
	output_headroom_warning(args->pid, &stats);
	return EXIT_OK;
}

static int run_watch(const struct arguments *args, int fd)
{
	struct timespec interval = {
		.tv_sec = (time_t)args->watch,
		.tv_nsec = (long)((args->watch - (time_t)args->watch) * 1e9),
	};
	bool first = true, warned = false;
	struct tract_stats stats;
	int err;

	for (;;) {
		err = read_stats(fd, args->pid, &stats);
		if (!err)
			err = output_sample(&args->out, args->pid, &stats,
					    first);
		if (!err && fflush(stdout))
			err = -errno;
		if (err)
			break;
		if (!warned)
			warned = output_headroom_warning(args->pid, &stats);
		first = false;
		nanosleep(&interval, NULL);
	}
	/* A watch ends well when the process has ended that it watched. */
	if (err == -ESRCH && !first)
		return EXIT_OK;
	output_error("stat", err, args->pid);
	return EXIT_ERROR;
}

static int list_reservations(const struct arguments *args, int fd, int *found)
{
	int pid = args->pid ? args->pid : PID_ANY;
	struct libscols_table *table = output_list_new(&args->out);
	struct tract_stats stats;
	int err = table ? 0 : -ENOMEM;
	__u64 id = 0;

	*found = 0;
	while (!err) {
		err = device_next(fd, pid, id, &stats);
		if (err)
			break;
		err = output_list_add(&args->out, table, &stats);
		id = stats.out_id;
		++*found;
	}
	/* -ENOENT: that was the last one. */
	if (err != -ENOENT) {
		if (table)
			table_free(table);
		return err;
	}
	return table_print(table);
}

static int run_list(const struct arguments *args, int fd)
{
	int found;
	int err = list_reservations(args, fd, &found);

	if (err) {
		output_error("list", err, args->pid);
		return EXIT_ERROR;
	}
	if (!found)
		fprintf(stderr, "tractctl: no reservations to show\n");
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "info\nstat [PID]\nlist",
		.doc = doc,
	};
	struct arguments args = { 0 };
	int fd, status;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &args);

	fd = device_open();
	if (fd < 0) {
		output_error(DEVICE_PATH, fd, 0);
		return fd == -ENOENT || fd == -ENXIO || fd == -ENODEV ?
			       EXIT_NO_MODULE :
			       EXIT_ERROR;
	}
	switch (args.command) {
	case CMD_INFO:
		status = run_info(&args, fd);
		break;
	case CMD_STAT:
		status = args.watch > 0 ? run_watch(&args, fd) :
					  run_stat(&args, fd);
		break;
	default:
		status = run_list(&args, fd);
		break;
	}
	close(fd);
	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) || ferror(stdout)) {
		output_error("standard output", -errno, 0);
		return EXIT_ERROR;
	}
	return status;
}
