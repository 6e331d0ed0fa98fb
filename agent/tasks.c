#include "tasks.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TASKS_LABEL_MAX = 16384,
	TASKS_CGROUP_MAX = 16384,
	TASKS_COMM_MAX = 64,
	TASKS_STAT_MAX = 2048, /* 52 numbers of at most 20 digits, and comm */
};

struct tasks_walk {
	const struct map *uses;
	int process; /* /proc/PID */
	int task;    /* /proc/PID/task/TID, or the former where there is but one thread */
	int64_t pid;
	char *label; /* scratch, TASKS_LABEL_MAX bytes */
};

static void tasks_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void tasks_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* The errors of a task that has ended meanwhile. All others, such as for want of a descriptor or of
 * memory, say nothing about the task. */
static bool tasks_is_gone(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

static int tasks_fail(const struct tasks_walk *w, int r, const char *what, struct err *err)
{
	return err_set(err, r, "cannot %s of process %lld: %s", what, (long long)w->pid,
		       strerror(-r));
}

/* What has ended meanwhile holds nothing: 0. */
static int tasks_unless_gone(const struct tasks_walk *w, int r, const char *what, struct err *err)
{
	return r == 0 || tasks_is_gone(r) ? 0 : tasks_fail(w, r, what, err);
}

static int tasks_open(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* NULL at the end, and where it cannot be read on: then errno is not 0. */
static struct dirent *tasks_next(DIR *dir)
{
	errno = 0;
	return readdir(dir);
}

/* The start of a file as text; -errno where it cannot be read, -EFBIG where it is cut. */
static int tasks_read(int dir, const char *name, char *ret, size_t n)
{
	CLEANUP(tasks_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (len < n && (got = read(fd, ret + len, n - len)) != 0) {
		if (got < 0)
			return -errno;
		len += (size_t)got;
	}
	if (len == n)
		return -EFBIG;
	ret[len] = '\0';
	return 0;
}

void tasks_split_label(char *text, void (*component)(void *data, char *name), void *data)
{
	size_t n = strlen(text);
	char *mode;
	char *next;

	if (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	mode = n > 0 && text[n - 1] == ')' ? strrchr(text, '(') : NULL;
	if (mode && mode > text && mode[-1] == ' ')
		mode[-1] = '\0';
	for (; text; text = next) {
		next = strstr(text, "//&");
		if (next) {
			*next = '\0';
			next += 3;
		}
		component(data, text);
	}
}

/* The state of a thread, the letter behind the last ')' of its stat line: comm may hold any. One
 * whose state cannot be told lives. */
static bool tasks_is_dead(int task)
{
	char stat[TASKS_STAT_MAX];
	const char *end;
	int r = tasks_read(task, "stat", stat, sizeof(stat));

	if (r < 0)
		return tasks_is_gone(r);
	end = strrchr(stat, ')');
	return end && end[1] == ' ' && end[2] && strchr("ZXx", end[2]);
}

static bool tasks_is_uid(const char *s, size_t n)
{
	if (n == 32)
		return strspn(s, "0123456789abcdef") >= 32;
	return n == 36 && strspn(s, "0123456789abcdef-_") >= 36;
}

bool tasks_pod_uid(const char *cgroup, char ret[TASKS_POD_UID_SIZE])
{
	const char *s = cgroup;
	size_t i;

	while ((s = strstr(s, "pod"))) {
		bool starts = s == cgroup || s[-1] == '/' || s[-1] == '-';
		size_t n = strcspn(s += 3, "/.\n");

		if (!starts || !tasks_is_uid(s, n))
			continue;
		for (i = 0; i < n; i++)
			ret[i] = s[i] == '_' ? '-' : s[i];
		ret[n] = '\0';
		return true;
	}
	return false;
}

/* Name the process, once, among those that hold a profile. */
static void tasks_add_holder(struct tasks_use *use, const struct tasks_walk *w)
{
	struct sync_holder *h = &use->holders[use->n_holders];
	CLEANUP(mem_freep) char *cgroup = NULL;
	char comm[TASKS_COMM_MAX];
	char uid[TASKS_POD_UID_SIZE];

	if (use->last_pid == w->pid)
		return;
	use->last_pid = w->pid;
	use->n++;
	if (use->n_holders == SYNC_HOLDERS_MAX)
		return;
	cgroup = mem_alloc(TASKS_CGROUP_MAX, 1);
	if (tasks_read(w->process, "comm", comm, sizeof(comm)) < 0)
		comm[0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	str_make_printable(comm, sizeof(comm));
	if (tasks_read(w->process, "cgroup", cgroup, TASKS_CGROUP_MAX) < 0 ||
	    !tasks_pod_uid(cgroup, uid))
		uid[0] = '\0';
	*h = (struct sync_holder){
	    .pod_uid = mem_strdup(uid), .command = mem_strdup(comm), .pid = w->pid};
	use->n_holders++;
}

/* "web//a//b" holds "web", "web//a" and itself. A component in a namespace starts with ':' and is
 * another profile, whatever it is called there. */
static void tasks_on_component(void *data, char *name)
{
	struct tasks_walk *w = data;
	char *end = name;
	struct tasks_use *use;

	if (name[0] == ':')
		return;
	do {
		end = strstr(end, "//");
		if (end)
			*end = '\0';
		use = map_get(w->uses, name);
		if (use && !tasks_is_dead(w->task))
			tasks_add_holder(use, w);
		if (end) {
			*end = '/';
			end += 2;
		}
	} while (end);
}

/* attr/apparmor/current is AppArmor's own; attr/current is that of the first module that fills it,
 * and all there is before Linux 5.8. */
static int tasks_read_label(const struct tasks_walk *w)
{
	int r = tasks_read(w->task, "attr/apparmor/current", w->label, TASKS_LABEL_MAX);

	return r == -ENOENT ? tasks_read(w->task, "attr/current", w->label, TASKS_LABEL_MAX) : r;
}

static int tasks_look_at_thread(struct tasks_walk *w, struct err *err)
{
	int r = tasks_read_label(w);

	/* A task that has ended meanwhile holds nothing; one that has no label at all is odd. */
	if (r == -ESRCH || (r < 0 && tasks_is_dead(w->task)))
		return 0;
	if (r < 0)
		return tasks_fail(w, r, "read the label", err);
	tasks_split_label(w->label, tasks_on_component, w);
	return 0;
}

static int tasks_look_at_tid(struct tasks_walk *w, int tasks, const char *tid, struct err *err)
{
	CLEANUP(tasks_close) int task = tasks_open(tasks, tid);

	if (task < 0)
		return tasks_unless_gone(w, task, "open a thread", err);
	w->task = task;
	return tasks_look_at_thread(w, err);
}

static int tasks_look_at_threads(struct tasks_walk *w, struct err *err)
{
	int fd = tasks_open(w->process, "task");
	CLEANUP(tasks_closedir) DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!tasks) {
		r = -errno;
		tasks_close(&fd);
		return tasks_unless_gone(w, r, "list the threads", err);
	}
	while (r == 0 && (entry = tasks_next(tasks)))
		if (entry->d_name[0] != '.')
			r = tasks_look_at_tid(w, dirfd(tasks), entry->d_name, err);
	return r < 0 ? r : tasks_unless_gone(w, -errno, "list the threads", err);
}

/* Most processes have one thread, and the link count of the folder `task` says so
 * (proc_task_getattr()): then the process's own files are those of the thread. */
static int tasks_look_at_process(struct tasks_walk *w, int proc, const char *pid, struct err *err)
{
	CLEANUP(tasks_close) int process = tasks_open(proc, pid);
	struct stat st;

	w->pid = strtoll(pid, NULL, 10);
	if (process < 0)
		return tasks_unless_gone(w, process, "open the folder", err);
	if (fstatat(process, "task", &st, 0) < 0)
		return tasks_unless_gone(w, -errno, "count the threads", err);
	w->process = w->task = process;
	return st.st_nlink == 3 ? tasks_look_at_thread(w, err) : tasks_look_at_threads(w, err);
}

/* Process 2 is kthreadd in the first PID namespace and in no other. */
static int tasks_check_host(int proc, const char *path, struct err *err)
{
	char comm[TASKS_COMM_MAX];
	int r = tasks_read(proc, "2/comm", comm, sizeof(comm));

	if (r < 0 && !tasks_is_gone(r))
		return err_set(err, r, "cannot read %s/2/comm: %s", path, strerror(-r));
	if (r < 0 || strcmp(comm, "kthreadd\n") != 0)
		return err_set(err, -EPERM,
			       "%s does not show the host's processes, so what is in use cannot "
			       "be told (hostPID is missing)",
			       path);
	return 0;
}

int tasks_scan(const char *proc, const struct map *uses, struct err *err)
{
	CLEANUP(tasks_closedir) DIR *dir = opendir(proc);
	CLEANUP(mem_freep) char *label = mem_alloc(TASKS_LABEL_MAX, 1);
	struct tasks_walk w = {.uses = uses, .label = label};
	struct dirent *entry;
	int r;

	if (!dir)
		return err_set(err, -errno, "cannot open %s: %s", proc, strerror(errno));
	r = tasks_check_host(dirfd(dir), proc, err);
	while (r == 0 && (entry = tasks_next(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
			r = tasks_look_at_process(&w, dirfd(dir), entry->d_name, err);
	if (r == 0 && errno)
		return err_set(err, -errno, "cannot list %s: %s", proc, strerror(errno));
	return r;
}

void tasks_use_clear(struct tasks_use *use)
{
	size_t i;

	for (i = 0; i < use->n_holders; i++) {
		free(use->holders[i].pod_uid);
		free(use->holders[i].command);
	}
	*use = (struct tasks_use){0};
}
