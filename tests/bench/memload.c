// SPDX-License-Identifier: MIT
/*
 * The other side of a memcached, by its text protocol: connections that set, get
 * and delete values of mixed sizes, and hold each answer against what they put
 * there.  Linked against nothing of ours: it must not be what is measured.
 *
 *   memload SOCKET [CONNECTIONS [STEPS [KEYS [MAX]]]]
 *
 *   SOCKET  a path of a socket
 *   STEPS   of each connection, which has keys of its own
 *
 * Prints a digest of all that the server answered.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIPELINE 16
#define CONNECTIONS_MAX 64

struct connection {
	pthread_t thread;
	unsigned long number;
	FILE *in, *out;
	uint32_t *version; /* of each key's value, 0: none */
	char *value;
	uint64_t state, digest;
};

static const char *path;
static unsigned long steps, keys, largest;

static void die(const char *why)
{
	fprintf(stderr, "memload: %s\n", why);
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static void digest(struct connection *c, uint64_t word)
{
	c->digest = mix(c->digest ^ word);
}

/* Of one version of a key: its size and its bytes. */
static size_t make_value(struct connection *c, unsigned long key,
			 uint32_t version)
{
	uint64_t x = mix(c->number << 40 ^ key << 32 ^ version);
	/* Every magnitude as likely as the next. */
	size_t limit = (size_t)16 << x % 12;
	size_t size = 1 + (x >> 8) % (limit < largest ? limit : largest);

	memset(c->value, 'a' + x % 26, size);
	for (size_t i = 0; i < size; i += 61)
		c->value[i] = '0' + (x >> i % 59) % 10;
	return size;
}

static void expect(struct connection *c, const char *answer)
{
	char line[128];

	if (!fgets(line, sizeof(line), c->in) || strcmp(line, answer))
		die("an answer is not the one expected");
}

static void ask(struct connection *c, unsigned long key, unsigned int what)
{
	uint32_t next;
	size_t size;

	if (what < 3) {
		/* A version is never used again, a deleted one neither. */
		next = (c->version[key] >> 1) + 1;
		c->version[key] = next << 1 | 1;
		size = make_value(c, key, next);
		fprintf(c->out, "set %lu:%lu 0 0 %zu\r\n", c->number, key,
			size);
		fwrite(c->value, 1, size, c->out);
		fputs("\r\n", c->out);
	} else if (what == 3) {
		fprintf(c->out, "delete %lu:%lu\r\n", c->number, key);
	} else {
		fprintf(c->out, "get %lu:%lu\r\n", c->number, key);
	}
}

static void check_value(struct connection *c, unsigned long key, char *buffer)
{
	char line[128], wanted[128];
	size_t size;

	if (!(c->version[key] & 1)) {
		expect(c, "END\r\n");
		digest(c, key);
		return;
	}
	size = make_value(c, key, c->version[key] >> 1);
	snprintf(wanted, sizeof(wanted), "VALUE %lu:%lu 0 %zu\r\n", c->number,
		 key, size);
	if (!fgets(line, sizeof(line), c->in) || strcmp(line, wanted) ||
	    fread(buffer, 1, size + 2, c->in) != size + 2 ||
	    memcmp(buffer, c->value, size))
		die("a value is not the one that was set");
	expect(c, "END\r\n");
	digest(c, size ^ (uint64_t)(unsigned char)buffer[size / 2] << 32);
}

static void answer(struct connection *c, unsigned long key, unsigned int what,
		   char *buffer)
{
	if (what < 3) {
		expect(c, "STORED\r\n");
	} else if (what == 3) {
		expect(c,
		       c->version[key] & 1 ? "DELETED\r\n" : "NOT_FOUND\r\n");
		c->version[key] &= ~1u;
	} else {
		check_value(c, key, buffer);
	}
}

static void *converse(void *arg)
{
	struct connection *c = arg;
	char *buffer = malloc(largest + 2);
	unsigned long key[PIPELINE];
	unsigned int what[PIPELINE];

	if (!buffer)
		die("no memory");
	for (unsigned long n = 0; n < steps; n += PIPELINE) {
		for (int i = 0; i < PIPELINE; i++) {
			c->state = mix(c->state);
			/* Different keys: each answer is of this question. */
			key[i] = c->state % (keys / PIPELINE) * PIPELINE + i;
			what[i] = c->state >> 40 & 7;
			ask(c, key[i], what[i]);
		}
		if (fflush(c->out))
			die("the server does not listen");
		for (int i = 0; i < PIPELINE; i++)
			answer(c, key[i], what[i], buffer);
	}
	free(buffer);
	return NULL;
}

static void connect_to(struct connection *c, unsigned long number)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		die("the socket's path is too long");
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (void *)&address, sizeof(address)))
		die("cannot connect");
	c->number = number;
	c->state = mix(number);
	c->in = fdopen(fd, "r");
	c->out = fdopen(dup(fd), "w");
	c->version = calloc(keys, sizeof(*c->version));
	c->value = malloc(largest);
	if (!c->in || !c->out || !c->version || !c->value)
		die("no memory");
}

int main(int argc, char **argv)
{
	static struct connection connection[CONNECTIONS_MAX];
	unsigned long connections, i;
	uint64_t sum = 0;

	if (argc < 2)
		die("usage: memload SOCKET [CONNECTIONS [STEPS [KEYS [MAX]]]]");
	path = argv[1];
	connections = argc > 2 ? strtoul(argv[2], NULL, 0) : 8;
	steps = argc > 3 ? strtoul(argv[3], NULL, 0) : 20000;
	keys = argc > 4 ? strtoul(argv[4], NULL, 0) : 4096;
	largest = argc > 5 ? strtoul(argv[5], NULL, 0) : 32768;
	if (!connections || connections > CONNECTIONS_MAX || keys < PIPELINE ||
	    !largest)
		die("arguments out of range");
	for (i = 0; i < connections; i++)
		connect_to(&connection[i], i);
	for (i = 0; i < connections; i++)
		if (pthread_create(&connection[i].thread, NULL, converse,
				   &connection[i]))
			die("cannot start a thread");
	for (i = 0; i < connections; i++) {
		pthread_join(connection[i].thread, NULL);
		sum = mix(sum ^ connection[i].digest);
	}
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
