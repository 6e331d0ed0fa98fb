#pragma once

/*
 * The CA certificates that the controller's certificate is verified against: the file ca.crt in a
 * folder that the kubelet fills from a ConfigMap.
 *
 * The file may come long after the agent, and changes when the CA is renewed. The kubelet makes a
 * new folder and exchanges the link ..data, so it is the folder that is watched and not the file.
 * Source: pkg/volume/util/atomic_writer.go in Kubernetes.
 */

#include <uv.h>

struct ca_watch {
	uv_fs_event_t event;
	uv_timer_t again; /* where the folder cannot be watched yet */
	char *dir;
	char *pem; /* as last told; NULL: none yet */
	int n_handles;
	void (*changed)(void *data, const char *pem);
	void *data;
};

/* `changed` is called from the loop with the PEM text, first when it is there and then for each
 * change. */
void ca_watch_start(struct ca_watch *w, uv_loop_t *loop, const char *dir,
		    void (*changed)(void *data, const char *pem), void *data);

/* The struct stays until the loop has run its close callbacks. */
void ca_watch_close(struct ca_watch *w);
