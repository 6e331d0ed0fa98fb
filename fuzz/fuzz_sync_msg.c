/* The agent protocol, both ways: what was decoded is encoded and has to decode again. */

#include "api/sync_msg.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_request(struct json_object *obj)
{
	struct sync_request req, again;
	struct json_object *encoded;
	struct err err;

	if (sync_request_decode(obj, &req, &err) < 0)
		return;
	if (req.protocol == SYNC_PROTOCOL) {
		encoded = sync_request_encode(&req);
		if (sync_request_decode(encoded, &again, &err) < 0)
			abort();
		sync_request_clear(&again);
		json_object_put(encoded);
	}
	sync_request_clear(&req);
}

static void fuzz_response(struct json_object *obj)
{
	struct sync_response res, again;
	struct json_object *encoded;
	struct err err;

	if (sync_response_decode(obj, &res, &err) < 0)
		return;
	encoded = sync_response_encode(&res);
	if (sync_response_decode(encoded, &again, &err) < 0)
		abort();
	sync_response_clear(&again);
	json_object_put(encoded);
	sync_response_clear(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_object *obj;
	struct err err;

	if (js_parse((const char *)data, n, &obj, &err) < 0)
		return 0;
	fuzz_request(obj);
	fuzz_response(obj);
	json_object_put(obj);
	return 0;
}
