/*
 * hash_rate: how many Argon2id verifications this machine does per second.
 *
 *   hash_rate PROCESSES SECONDS MEMORY_KIB ITERATIONS
 *
 * Every process verifies one password against its own hash, again and again,
 * until the time is up: crypto_pwhash_str_verify and nothing around it, the
 * bound that a sign-in can't pass. Prints verifications per second.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PASSWORD    "correct horse battery staple"
#define MAX_WORKERS 256

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Writes one double, this process's rate, to the pipe. */
static int
work(int out, double seconds, size_t memory, unsigned long long iterations)
{
	char hash[crypto_pwhash_STRBYTES];
	long done = 0;
	double start;
	double rate;

	if (crypto_pwhash_str(hash, PASSWORD, sizeof(PASSWORD) - 1, iterations,
	                      memory) != 0)
		return 1;
	start = now();
	do
	{
		if (crypto_pwhash_str_verify(hash, PASSWORD, sizeof(PASSWORD) - 1) != 0)
			return 1;
		done++;
	} while (now() - start < seconds);
	rate = (double) done / (now() - start);
	return write(out, &rate, sizeof(rate)) == sizeof(rate) ? 0 : 1;
}

int
main(int argc, char **argv)
{
	int workers;
	int pipes[2];
	int status;
	double sum = 0;
	double rate;

	if (argc != 5 || (workers = atoi(argv[1])) < 1 || workers > MAX_WORKERS ||
	    sodium_init() < 0 || pipe(pipes) != 0)
	{
		fprintf(stderr,
		        "usage: hash_rate PROCESSES SECONDS MEMORY_KIB ITERATIONS\n");
		return 2;
	}

	for (int i = 0; i < workers; i++)
	{
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0)
			_exit(work(pipes[1], atof(argv[2]), (size_t) atol(argv[3]) * 1024,
			           strtoull(argv[4], NULL, 10)));
	}
	for (int i = 0; i < workers; i++)
	{
		if (wait(&status) < 0 || status != 0 ||
		    read(pipes[0], &rate, sizeof(rate)) != sizeof(rate))
			return 1;
		sum += rate;
	}
	printf("%.2f\n", sum);
	return 0;
}
