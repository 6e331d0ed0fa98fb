#include "policy/sandbox_parts.h"

#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* What a C++ program needs that reads files, allocates and prints. Sockets, processes and threads,
 * ptrace, mounts, namespaces, keys, bpf, modules, timers, ioctl and whatever writes to a file
 * system are not among it. A call that does not exist on an architecture is passed over by
 * libseccomp. */
static const int seccomp_allowed[] = {
    /* files: which ones is Landlock's business */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(fstat),
    SCMP_SYS(stat64),
    SCMP_SYS(lstat64),
    SCMP_SYS(fstat64),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstatat64),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(chdir),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64),
    SCMP_SYS(fadvise64),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(mmap),
    SCMP_SYS(mmap2),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    /* signals to itself, for abort() */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack),
    /* what start-up code asks and sets */
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tls),
    SCMP_SYS(rseq),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(time),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_getres),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* once, for the parser; Landlock lets nothing but it and its loader be executed */
    SCMP_SYS(execve),
};

static int seccomp_allow_all(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp itself = {.op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
	const struct scmp_arg_cmp zero = {.op = SCMP_CMP_EQ, .datum_a = 0};
	size_t i;
	int e;

	for (i = 0; i < sizeof(seccomp_allowed) / sizeof(seccomp_allowed[0]); i++) {
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, seccomp_allowed[i], 0);
		if (e < 0)
			return e;
	}
	/* Signals and limits: of itself, and of no other process of the same user. The launcher
	 * sets its limits behind the filter; what it sets cannot be raised again. */
	e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, itself);
	if (e == 0)
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, zero);
	if (e == 0)
		e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setrlimit), 0);
	return e;
}

int sandbox_seccomp(struct err *err)
{
	/* ENOSYS makes the C library fall back to an older call where there is one. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int e;

	if (!ctx)
		return err_set(err, -ENOMEM, "seccomp cannot be set up");
	e = seccomp_allow_all(ctx);
	if (e == 0)
		e = seccomp_load(ctx);
	seccomp_release(ctx);
	if (e < 0)
		return err_set(err, e, "seccomp refuses its filter: %s", strerror(-e));
	return 0;
}
