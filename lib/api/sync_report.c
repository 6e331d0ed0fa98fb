#include "api/sync_msg.h"

#include "base/mem.h"

#include <stdlib.h>

static size_t sync_printed(struct json_object *obj)
{
	size_t n;

	js_print(obj, &n);
	json_object_put(obj);
	return n;
}

static void sync_status_drop_hashes(struct sync_status *s)
{
	sync_hashes_free(STEAL(s->hashes), s->n_hashes);
	s->n_hashes = 0;
}

static void sync_status_drop_holders(struct sync_status *s)
{
	sync_holders_free(STEAL(s->holders), s->n_holders);
	s->n_holders = 0;
}

void sync_report_fit(struct sync_report *report)
{
	static void (*const drops[])(struct sync_status * s) = {sync_status_drop_hashes,
								sync_status_drop_holders};
	size_t left = sync_printed(sync_report_encode(report));
	size_t k, i;

	for (k = 0; k < sizeof(drops) / sizeof(*drops); k++) {
		for (i = report->n; i > 0 && left > SYNC_REPORT_MAX; i--) {
			struct sync_status *s = &report->items[i - 1];

			left -= sync_printed(sync_status_encode(s));
			drops[k](s);
			left += sync_printed(sync_status_encode(s));
		}
	}
}
