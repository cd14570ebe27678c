/* SPDX-License-Identifier: MIT */
/*
 * Runs scenes with the peers of one adapter, each in a process of its own that may hang
 * or crash, and prints a line per outcome: scene, what it is, library, version, whether the
 * promise was kept (1, 0, or - where it was not seen), what happened, what the documentation says.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenes.h"

#define HOUR 3600

const struct peer *peer;
double badness;
static int teller;	/* the pipe to the process that prints */

/* What a play of a scene ended with. */
struct outcome {
	char text[200];	/* whether the promise was kept, and what happened */
	double badness;
};

static _Noreturn void send(const char *kept, const char *format, va_list args)
{
	struct outcome outcome = { .badness = *kept == '0' ? badness : 0 };
	int length = snprintf(outcome.text, sizeof(outcome.text), "%s\t", kept);

	vsnprintf(outcome.text + length, sizeof(outcome.text) - (size_t)length, format, args);
	_exit(write(teller, &outcome, sizeof(outcome)) == sizeof(outcome) ? 0 : 1);
}

void tell(int kept, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	send(kept ? "1" : "0", format, args);
	/* cppcheck-suppress va_end_missing ; the process has ended */
}

/* What happened was not seen. */
static _Noreturn void cannot(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	send("-", format, args);
	/* cppcheck-suppress va_end_missing ; the process has ended */
}

void skip(const char *why)
{
	cannot("%s", why);
}

int must(int r, const char *what)
{
	if (r < 0)
		cannot("%s: %s", what, strerror(r == -1 ? errno : -r));
	return r;
}

static int add_to_clock(time_t seconds)
{
	struct timex timex = { .modes = ADJ_SETOFFSET, .time.tv_sec = seconds };

	return clock_adjtime(CLOCK_REALTIME, &timex);
}

/* The wall clock's lead over CLOCK_MONOTONIC, which nobody can set. */
static int64_t lead_ns(void)
{
	return (int64_t)now_of(CLOCK_REALTIME) - (int64_t)now_ns();
}

/* A process does it that no signal to the scene can reach. */
const struct step *step_clock(uint64_t lasting_ns)
{
	const char *asked = getenv("PEERS_SET_CLOCK");
	const struct timespec lasting = { .tv_nsec = (long)lasting_ns };
	sigset_t all;

	if (!asked || !*asked)
		skip("not asked to set the clock");
	struct step *step = mmap(NULL, sizeof(*step), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(step == MAP_FAILED ? -1 : 0, "mmap");
	sigfillset(&all);
	if (must(fork(), "fork"))
		return step;
	setsid();
	sigprocmask(SIG_BLOCK, &all, NULL);
	step->forward_ns = now_ns();
	if (add_to_clock(HOUR) < 0)
		_exit(1);
	nanosleep(&lasting, NULL);
	step->back_ns = now_ns();
	_exit(add_to_clock(-HOUR) < 0);
}

/* One process at a time on the whole machine sets the clock. */
static int lock_clock(void)
{
	int lock = open("/", O_RDONLY | O_CLOEXEC);

	if (lock < 0 || flock(lock, LOCK_EX) < 0) {
		perror("/");
		exit(1);
	}
	return lock;
}

/* The process that sets the clock has the lock, too: who gets it anew knows that it has ended. */
static void unlock_clock(int lock, int64_t lead)
{
	close(lock);
	lock = lock_clock();
	if (lead_ns() - lead > HOUR / 2 * (int64_t)SECOND)
		add_to_clock(-HOUR);
	close(lock);
}

static const char *remark_on(const struct scene *scene)
{
	for (const struct remark *remark = peer->remarks; remark->scene; remark++)
		if (!strcmp(remark->scene, scene->name))
			return remark->text;
	return "";
}

static _Noreturn void child(const struct scene *scene, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	mallopt(M_PERTURB, 0xa5);	/* who reads what was freed reads nonsense */
	teller = fd;
	scene->play();
	tell(0, "the loop ended");
}

static struct outcome play(const struct scene *scene)
{
	struct outcome outcome = { "0\tcrashes", 1e9 };
	int pipe_fds[2];

	pid_t pid = pipe(pipe_fds) < 0 ? -1 : fork();

	if (pid < 0) {
		perror(scene->name);
		exit(1);
	}
	if (!pid)
		child(scene, pipe_fds[1]);
	close(pipe_fds[1]);
	struct pollfd told = { .fd = pipe_fds[0], .events = POLLIN };

	if (!poll(&told, 1, (int)scene->limit * 1000))
		strcpy(outcome.text, "0\thangs");
	else if (read(pipe_fds[0], &outcome, sizeof(outcome)) < 0)
		perror("read");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipe_fds[0]);
	return outcome;
}

/* A busy machine makes what happens worse, if anything: of several plays the best one counts. */
static void play_and_print(const struct scene *scene)
{
	int lock = strcmp(scene->name, "clock") ? -1 : lock_clock();
	int64_t lead = lead_ns();
	struct outcome best = play(scene);

	for (unsigned i = 1; i < scene->plays && best.badness > 0; i++) {
		struct outcome outcome = play(scene);

		if (outcome.badness < best.badness)
			best = outcome;
	}
	if (lock >= 0)
		unlock_clock(lock, lead);
	printf("%s\t%s\t%s\t%s\t%s\t%s\n", scene->name, scene->what, peer->name, peer->version(), best.text,
	       remark_on(scene));
	fflush(stdout);
}

/* Arguments: the names of scenes; none: all. */
int peers_main(int argc, char **argv, const struct peer *peers, size_t peer_count)
{
	for (const struct scene *scene = scenes; scene->name; scene++) {
		int wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= !strcmp(argv[i], scene->name);
		for (size_t i = 0; wanted && i < peer_count; i++) {
			peer = &peers[i];
			play_and_print(scene);
		}
	}
	return 0;
}
