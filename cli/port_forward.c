#include "cli/port_forward.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/leader.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORWARD_WAIT_MS = 20 * 1000, FORWARD_WORDS_MAX = 4096, FORWARD_ARGS = 12 };

/* Both streams of the child end in one pipe: its complaint is as welcome as its port. */
static void port_forward_exec(char *const *argv, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "kubectl is not in PATH: %s\n", strerror(errno));
	_exit(127);
}

/* True when it said which port it has. What else it said stays in `words`. */
static bool port_forward_read(struct port_forward *f, char *words, size_t *n)
{
	char *line = words, *end;

	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		f->port = leader_forwarded_port(line);
		*end = '\n';
		if (f->port)
			return true;
		line = end + 1;
	}
	*n = strlen(words);
	return false;
}

static int port_forward_wait(struct port_forward *f, struct err *err)
{
	int64_t until = clock_mono_ms() + FORWARD_WAIT_MS;
	char words[FORWARD_WORDS_MAX] = "";
	size_t n = 0;

	while (n < sizeof(words) - 1) {
		struct pollfd fd = {.fd = f->fd, .events = POLLIN};
		int64_t left = until - clock_mono_ms();
		ssize_t got;

		if (left <= 0 || poll(&fd, 1, (int)left) == 0)
			return err_set(err, -ETIMEDOUT,
				       "kubectl port-forward did not get through in %d s",
				       FORWARD_WAIT_MS / 1000);
		got = read(f->fd, words + n, sizeof(words) - 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		words[n + (size_t)got] = '\0';
		if (port_forward_read(f, words, &n))
			return 0;
	}
	str_make_printable(words, 300);
	return err_set(err, -EIO, "kubectl port-forward: %s", *words ? words : "it ended");
}

static size_t port_forward_args(const struct cluster_options *where, const char **argv)
{
	size_t n = 0;

	argv[n++] = "kubectl";
	if (where->kubeconfig) {
		argv[n++] = "--kubeconfig";
		argv[n++] = where->kubeconfig;
	}
	if (where->context) {
		argv[n++] = "--context";
		argv[n++] = where->context;
	}
	return n;
}

int port_forward_start(const struct cluster_options *where, const char *namespace_, const char *pod,
		       uint16_t pod_port, struct port_forward *ret, struct err *err)
{
	CLEANUP(mem_freep) char *target = mem_printf("pod/%s", pod);
	CLEANUP(mem_freep) char *ports = mem_printf(":%u", pod_port);
	const char *argv[FORWARD_ARGS + 1] = {NULL};
	const char *const rest[] = {"--namespace", namespace_, "port-forward", "--address",
				    "127.0.0.1",   target,     ports};
	struct port_forward f = {0};
	int ends[2], r;

	memcpy(argv + port_forward_args(where, argv), rest, sizeof(rest));
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	f.pid = fork();
	if (f.pid == 0)
		port_forward_exec((char *const *)(void *)argv, ends[1]);
	close(ends[1]);
	f.fd = ends[0];
	if (f.pid < 0) {
		close(f.fd);
		return err_set(err, -errno, "fork: %s", strerror(errno));
	}
	r = port_forward_wait(&f, err);
	if (r < 0)
		port_forward_stop(&f);
	else
		*ret = f;
	return r;
}

void port_forward_stop(struct port_forward *f)
{
	if (f->pid <= 0)
		return;
	kill(f->pid, SIGTERM);
	close(f->fd);
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
}
