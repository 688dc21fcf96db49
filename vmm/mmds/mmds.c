/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata document: set and patched by the operator, read by both sides.
 *
 * A change is made on the side and put in place whole, so a reader sees the old document or the new
 * one. Its limit is that of its compact JSON text. Keys are given out sorted.
 *
 * Refs: RFC 7396 (merge patch).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/err.h"
#include "vmm/mmds/mmds_int.h"

int mmds_create(size_t limit_bytes, struct mmds **out, struct err *e)
{
	struct mmds *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "metadata service: out of memory");
	m->config = (struct mmds_config){ .version = MMDS_V1, .address = MMDS_ADDRESS };
	m->limit_bytes = limit_bytes;
	m->document = json_null();
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

void mmds_destroy(struct mmds *m)
{
	if (!m)
		return;
	json_decref(m->document);
	pthread_mutex_destroy(&m->lock);
	explicit_bzero(&m->tokens, sizeof(m->tokens));
	free(m);
}

void mmds_configure(struct mmds *m, const struct mmds_config *c)
{
	m->config = *c;
}

void mmds_get_config(const struct mmds *m, struct mmds_config *out)
{
	*out = m->config;
}

bool mmds_address_is_valid(const uint8_t a[4])
{
	return a[0] == 169 && a[1] == 254 && a[2] >= 1 && a[2] <= 254;
}

bool mmds_address_parse(const char *s, uint8_t address[4])
{
	return inet_pton(AF_INET, s, address) == 1 && mmds_address_is_valid(address);
}

static int no_memory(struct err *e)
{
	return err_set(e, ENOMEM, "metadata service: out of memory");
}

/* Takes `value` and puts it in place, unless it is too long. */
static int replace(struct mmds *m, json_t *value, struct err *e)
{
	size_t len = mmds_write(value, NULL, 0);

	if (!len || len > m->limit_bytes) {
		json_decref(value);
		return !len ? no_memory(e) : err_set(e, E2BIG, "The MMDS patch request doesn't fit.");
	}
	json_decref(m->document);
	m->document = value;
	m->is_set = true;
	return 0;
}

int mmds_put(struct mmds *m, json_t *value, struct err *e)
{
	json_t *copy = json_deep_copy(value);
	int r;

	if (!copy)
		return no_memory(e);
	pthread_mutex_lock(&m->lock);
	r = replace(m, copy, e);
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* Takes target; returns what it has become, NULL without memory. */
static json_t *merge(json_t *target, json_t *patch)
{
	const char *key;
	json_t *value;

	if (!json_is_object(patch)) {
		json_decref(target);
		return json_deep_copy(patch);
	}
	if (!json_is_object(target)) {
		json_decref(target);
		target = json_object();
	}
	json_object_foreach(patch, key, value) {
		json_t *child;

		if (json_is_null(value)) {
			json_object_del(target, key);
			continue;
		}
		child = merge(json_incref(json_object_get(target, key)), value);
		if (json_object_set_new(target, key, child) < 0) {
			json_decref(target);
			return NULL;
		}
	}
	return target;
}

int mmds_patch(struct mmds *m, json_t *patch, struct err *e)
{
	json_t *changed;
	int r;

	pthread_mutex_lock(&m->lock);
	if (!m->is_set) {
		r = err_set(e, ENOENT, "The MMDS data store is not initialized.");
	} else {
		changed = json_deep_copy(m->document);
		if (changed)
			changed = merge(changed, patch);
		r = changed ? replace(m, changed, e) : no_memory(e);
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

static int with_text(struct mmds *m, const char *text, size_t len,
		     int (*change)(struct mmds *m, json_t *value, struct err *e), struct err *e)
{
	json_error_t what;
	json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &what);
	int r;

	if (!value)
		return err_set(e, EINVAL, "%s at line %d column %d", what.text, what.line, what.column);
	r = change(m, value, e);
	json_decref(value);
	return r;
}

int mmds_put_text(struct mmds *m, const char *text, size_t len, struct err *e)
{
	return with_text(m, text, len, mmds_put, e);
}

int mmds_patch_text(struct mmds *m, const char *text, size_t len, struct err *e)
{
	return with_text(m, text, len, mmds_patch, e);
}

static char *write_document(const struct mmds *m)
{
	size_t len = mmds_write(m->document, NULL, 0);
	char *text = len ? malloc(len + 1) : NULL;

	if (!text || mmds_write(m->document, text, len) != len) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

char *mmds_get(struct mmds *m)
{
	char *text;

	pthread_mutex_lock(&m->lock);
	text = m->is_set ? write_document(m) : strdup("{}");
	pthread_mutex_unlock(&m->lock);
	return text;
}

void mmds_stats(const struct mmds *m, struct mmds_stats *out)
{
	const uint64_t *from = (const uint64_t *)&m->stats;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
