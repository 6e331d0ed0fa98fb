#include "told.h"

#include "base/mem.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { TOLD_RESPONSES_MAX = 256, TOLD_REPORTS_MAX = 1024 };

static const struct sync_item *told_item(struct told *told, const struct sync_item *item)
{
	CLEANUP(mem_freep)
	char *key = mem_printf("%s/%s/%d%d/%s/%s", item->name, item->uid, (int)item->want,
			       item->adopt, item->revision, item->artefact);
	struct sync_item *known = map_get(&told->items, key);

	if (!known) {
		known = MEM_NEW(struct sync_item);
		sync_item_copy(item, known);
		map_put(&told->items, key, known);
	}
	return known;
}

uint64_t told_artefact_key(const char *sha256)
{
	char digits[17];

	memcpy(digits, sha256, 16);
	digits[16] = '\0';
	return strtoull(digits, NULL, 16);
}

static void told_check_enclosed(const struct sync_response *res, struct told_response *kept)
{
	char hash[SHA256_HEX];
	size_t i;

	kept->enclosed = mem_alloc(res->n_enclosed, sizeof(*kept->enclosed));
	for (i = 0; i < res->n_enclosed; i++) {
		const struct sync_enclosed *e = &res->enclosed[i];

		sha256_hex(e->bytes, e->n, hash);
		if (strcmp(hash, e->sha256) == 0)
			kept->enclosed[kept->n_enclosed++] = told_artefact_key(hash);
		else
			kept->n_bad++;
	}
}

static void told_free_response(void *value)
{
	struct told_response *res = value;

	free(res->enclosed);
	free(res->items);
	free(res);
}

static struct told_response *told_keep(struct told *told, const struct sync_response *res)
{
	struct told_response *kept = MEM_NEW(struct told_response);
	size_t i;

	kept->head = *res;
	kept->head.items = NULL;
	kept->head.enclosed = NULL;
	told_check_enclosed(res, kept);
	kept->n = res->n;
	kept->items = mem_alloc(res->n, sizeof(const struct sync_item *));
	for (i = 0; i < res->n; i++)
		kept->items[i] = told_item(told, &res->items[i]);
	return kept;
}

int told_read(struct told *told, const char *body, size_t n, const struct told_response **ret,
	      struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct sync_response res = {0};
	struct told_response *kept;
	char hash[SHA256_HEX];
	int r;

	sha256_hex(body, n, hash);
	kept = map_get(&told->responses, hash);
	if (!kept) {
		r = js_parse(body, n, &obj, err);
		if (r == 0)
			r = sync_response_decode(obj, &res, err);
		if (r < 0)
			return r;
		kept = told_keep(told, &res);
		sync_response_clear(&res);
		map_put(&told->responses, hash, kept);
	}
	*ret = kept;
	return 0;
}

void told_trim(struct told *told)
{
	if (told->responses.n > TOLD_RESPONSES_MAX)
		map_clear(&told->responses, told_free_response);
	if (told->reports.n > TOLD_REPORTS_MAX)
		map_clear(&told->reports, report_free);
}

static void told_free_item(void *value)
{
	sync_item_clear(value);
	free(value);
}

void told_clear(struct told *told)
{
	map_clear(&told->responses, told_free_response);
	map_clear(&told->reports, report_free);
	map_clear(&told->items, told_free_item);
}
