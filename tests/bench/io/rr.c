/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request and response over TCP, one byte each way, as netperf's TCP_RR does it.
 *
 *	rr server PORT                  serves one connection after another
 *	rr client ADDRESS PORT SECONDS  prints @begin, @end, and
 *	                                @done TRANSACTIONS_A_SECOND MEAN_US P50_US P99_US
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 200, MAX_SAMPLES = 1 << 22 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int serve(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 4) < 0) {
		perror("rr server");
		return 1;
	}
	for (;;) {
		int fd = accept(s, NULL, NULL);
		char c;

		if (fd < 0)
			return 1;
		no_delay(fd);
		while (read(fd, &c, 1) == 1 && write(fd, &c, 1) == 1)
			;
		close(fd);
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int ask(const char *addr, int port, double seconds)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	uint32_t *took = malloc(MAX_SAMPLES * sizeof(*took));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t start = 0, end = UINT64_MAX, last;
	size_t n = 0;
	char c = 1;

	if (!took || inet_pton(AF_INET, addr, &a.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		printf("@fail cannot connect to %s port %d\n", addr, port);
		return 1;
	}
	no_delay(fd);
	for (size_t i = 0; n < MAX_SAMPLES; i++) {
		uint64_t before, after;

		if (i == WARM_UP) {
			printf("@begin\n");
			fflush(stdout);
			start = now_ns();
			end = start + (uint64_t)(seconds * 1e9);
		}
		before = now_ns();
		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1) {
			printf("@fail the connection ended\n");
			return 1;
		}
		after = now_ns();
		if (i >= WARM_UP)
			took[n++] = (uint32_t)(after - before);
		if (after >= end)
			break;
	}
	last = now_ns();
	printf("@end\n");
	qsort(took, n, sizeof(*took), by_size);
	printf("@done %.0f %.1f %.1f %.1f\n", (double)n * 1e9 / (double)(last - start),
	       (double)(last - start) / 1e3 / (double)n, took[n / 2] / 1e3, took[n * 99 / 100] / 1e3);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "server") == 0)
		return serve(atoi(argv[2]));
	if (argc == 5 && strcmp(argv[1], "client") == 0)
		return ask(argv[2], atoi(argv[3]), atof(argv[4]));
	fprintf(stderr, "usage: rr server PORT | rr client ADDRESS PORT SECONDS\n");
	return 2;
}
