// Runs the lab's commands inside a node, as root, without using the node's network, which a test
// may break.
//
// The host has some virtio serial ports named exec.0, exec.1 …; each gets a worker here, which runs
// one command at a time. Both sides send frames: session (LE32), type (one byte), length (LE32),
// payload of at most MAX_PAYLOAD bytes.
//   host  P is the way free?   R argv, each ended by NUL: run it   I standard input   C its end
//   guest P it is   O standard output   E standard error   X exit code (LE32; 128 + signal)
// A host that goes away takes its command with it, and so does the next one that asks. The session
// number tells the frames of a former command from ours.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// GONE_MS: word of a host that went and of the next one that came may arrive after the next one's
// command, so a host has gone when it stays away for so long.
enum { HEADER = 9, MAX_PAYLOAD = 65536, MAX_ARGS = 512, GONE_MS = 3000, LOOK_MS = 50 };

struct worker {
	int port;
	uint32_t session;
	pid_t child;      // 0: none
	long gone_ms;     // when the port began to say that the host is not there; 0: it is there
	int in, out, err; // our ends of the child's pipes, -1 when closed
	char inbuf[HEADER + MAX_PAYLOAD];
	size_t inlen; // bytes of inbuf that are filled
	char feed[MAX_PAYLOAD];
	size_t feed_at, feed_end;
	bool feed_close;
};

static uint32_t le32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1;
}

static bool is_there(const struct worker *w)
{
	struct pollfd host = {.fd = w->port};
	return poll(&host, 1, 0) == 0;
}

static bool comes_back(const struct worker *w)
{
	for (int i = 0; i < GONE_MS / LOOK_MS; i++) {
		if (is_there(w))
			return true;
		poll(NULL, 0, LOOK_MS);
	}
	return false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void send_frame(struct worker *w, char type, const char *data, size_t n)
{
	static char frame[HEADER + MAX_PAYLOAD];
	put32(frame, w->session);
	frame[4] = type;
	put32(frame + 5, (uint32_t)n);
	memcpy(frame + HEADER, data, n);
	for (size_t at = 0; at < HEADER + n;) {
		ssize_t r = write(w->port, frame + at, HEADER + n - at);
		if (r > 0) {
			at += (size_t)r;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = w->port, .events = POLLOUT};
			if (poll(&p, 1, -1) > 0 && p.revents & POLLHUP && !comes_back(w))
				return;
		} else if (errno != EINTR) {
			return;
		}
	}
}

static void end_child(struct worker *w)
{
	if (w->child) {
		kill(-w->child, SIGKILL);
		waitpid(w->child, NULL, 0);
	}
	w->child = 0;
	close_fd(&w->in);
	close_fd(&w->out);
	close_fd(&w->err);
	w->feed_at = w->feed_end = 0;
	w->feed_close = false;
}

static void run(struct worker *w, char *args, size_t n)
{
	char *argv[MAX_ARGS + 1];
	int argc = 0;
	for (char *p = args; p < args + n && argc < MAX_ARGS; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	int in[2], out[2], err[2];
	if (!argc || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		send_frame(w, 'X', "\x7f\0\0\0", 4);
		return;
	}
	w->child = fork();
	if (w->child == 0) {
		setsid();
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execvp(argv[0], argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	w->in = in[1], w->out = out[0], w->err = err[0];
	fcntl(w->in, F_SETFL, O_NONBLOCK);
}

static void on_frame(struct worker *w, uint32_t session, char type, char *data, size_t n)
{
	if (type == 'P') {
		end_child(w);
		w->session = session;
		send_frame(w, 'P', "", 0);
	} else if (type == 'R') {
		end_child(w);
		w->session = session;
		data[n] = 0;
		run(w, data, n);
	} else if (session == w->session && w->child) {
		if (type == 'I') {
			memcpy(w->feed, data, n);
			w->feed_at = 0, w->feed_end = n;
		} else if (type == 'C') {
			w->feed_close = true;
		}
	}
}

// Returns whether the host is there. One that is gone leaves the port readable for ever, with
// nothing to read.
static bool on_port(struct worker *w)
{
	ssize_t r = read(w->port, w->inbuf + w->inlen, sizeof w->inbuf - 1 - w->inlen);
	if (r > 0)
		w->inlen += (size_t)r;
	return r != 0;
}

// Acts on each whole frame while nothing waits to be fed to the child.
static void take_frames(struct worker *w)
{
	while (w->inlen >= HEADER && w->feed_at == w->feed_end) {
		size_t n = le32(w->inbuf + 5);
		if (n >= MAX_PAYLOAD) { // not our protocol: start over
			w->inlen = 0;
			return;
		}
		if (w->inlen < HEADER + n)
			return;
		char after = w->inbuf[HEADER + n];
		on_frame(w, le32(w->inbuf), w->inbuf[4], w->inbuf + HEADER, n);
		w->inbuf[HEADER + n] = after;
		w->inlen -= HEADER + n;
		memmove(w->inbuf, w->inbuf + HEADER + n, w->inlen);
	}
}

static void on_output(struct worker *w, int *fd, char type)
{
	static char buf[MAX_PAYLOAD];
	ssize_t r = read(*fd, buf, sizeof buf - 1);
	if (r > 0)
		send_frame(w, type, buf, (size_t)r);
	else
		close_fd(fd);
}

static void on_feed(struct worker *w)
{
	ssize_t r = write(w->in, w->feed + w->feed_at, w->feed_end - w->feed_at);
	if (r > 0)
		w->feed_at += (size_t)r;
	else if (errno != EAGAIN)
		close_fd(&w->in);
}

// The command has ended when the process has: what it left in the background may hold the pipes for
// ever.
static void on_exit_of_child(struct worker *w)
{
	int status;
	if (!w->child || waitpid(w->child, &status, WNOHANG) != w->child)
		return;
	w->child = 0;
	for (int i = 0; i < 2; i++) {
		int *fd = i ? &w->err : &w->out;
		struct pollfd p = {.fd = *fd, .events = POLLIN};
		while (*fd >= 0 && poll(&p, 1, 0) > 0)
			on_output(w, fd, i ? 'E' : 'O');
	}
	char code[4];
	put32(code,
	      WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 128 + (uint32_t)WTERMSIG(status));
	end_child(w);
	send_frame(w, 'X', code, 4);
}

static void on_signal(int number)
{
	(void)number;
}

static void work(const char *device)
{
	static struct worker w = {.in = -1, .out = -1, .err = -1};
	w.port = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (w.port < 0)
		_exit(1);
	// SIGIO tells that the host comes or goes, which poll() cannot be made to wait for; SIGCHLD
	// that the command ended.
	sigset_t block, during;
	sigemptyset(&block);
	sigaddset(&block, SIGIO);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &during);
	struct sigaction act = {.sa_handler = on_signal};
	sigaction(SIGIO, &act, NULL);
	sigaction(SIGCHLD, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	fcntl(w.port, F_SETOWN, getpid());
	fcntl(w.port, F_SETFL, O_NONBLOCK | O_ASYNC);
	bool gone = false;
	for (;;) {
		struct pollfd p[] = {
		    {.fd = gone || w.inlen == sizeof w.inbuf - 1 ? -1 : w.port, .events = POLLIN},
		    {.fd = w.out, .events = POLLIN},
		    {.fd = w.err, .events = POLLIN},
		    {.fd = w.feed_at < w.feed_end ? w.in : -1, .events = POLLOUT},
		};
		// The signals are blocked but here, so none is missed between looking and waiting.
		struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
		int n = ppoll(p, 4, w.child && w.gone_ms ? &look : NULL, &during);
		gone = false;
		if (n > 0) {
			if (p[0].revents & POLLIN)
				gone = !on_port(&w);
			else if (p[0].revents & POLLHUP)
				gone = true;
			if (p[1].revents)
				on_output(&w, &w.out, 'O');
			if (p[2].revents)
				on_output(&w, &w.err, 'E');
			if (p[3].revents)
				on_feed(&w);
		}
		if (is_there(&w))
			w.gone_ms = 0;
		else if (!w.gone_ms)
			w.gone_ms = now_ms();
		if (w.child && w.gone_ms && now_ms() - w.gone_ms > GONE_MS)
			end_child(&w);
		if (w.feed_end > w.feed_at && w.in < 0)
			w.feed_at = w.feed_end = 0; // the child reads no more
		take_frames(&w);
		if (w.feed_close && w.feed_at == w.feed_end)
			close_fd(&w.in);
		on_exit_of_child(&w);
	}
}

int main(void)
{
	DIR *d = opendir("/sys/class/virtio-ports");
	struct dirent *e;
	while (d && (e = readdir(d))) {
		char path[512], name[64] = "";
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		bool ours = fgets(name, sizeof name, f) && !strncmp(name, "exec.", 5);
		fclose(f);
		if (!ours)
			continue;
		snprintf(path, sizeof path, "/dev/%s", e->d_name);
		if (fork() == 0)
			work(path);
	}
	while (wait(NULL) > 0 || errno == EINTR) {
	}
	return 1;
}
