/* Runs a fuzz entry on files: each argument is a file, or a folder whose files are taken. A folder
 * that does not exist or is empty is an error, so that a corpus cannot get lost unnoticed. */

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay_file(const char *path)
{
	struct buf bytes = BUF_INIT(64UL << 20);
	struct err err;

	if (file_read(path, &bytes, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)buf_text(&bytes), bytes.len);
	buf_clear(&bytes);
	return 1;
}

static int replay_path(const char *path)
{
	struct stat st;
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		CLEANUP(mem_freep) char *file = mem_printf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		if (replay_file(file) < 0)
			return -1;
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int total = 0;
	int i;

	for (i = 1; i < argc; i++) {
		int n = replay_path(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	printf("%d inputs replayed\n", total);
	return total > 0 ? 0 : 1;
}
