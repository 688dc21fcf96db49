/* SPDX-License-Identifier: Apache-2.0 */
/* /drives/{drive_id} and /pmem/{id}. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/live.h"

/* Says what opening the image says, in the words of Firecracker; NULL: it can be used. */
static const char *check_image(const char *path, bool read_only, struct text *why)
{
	char buf[API_OS_ERROR];
	struct err e = { 0 };
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		text_printf(why, "Error manipulating the backing file: %s %s",
			    api_os_error(errno, buf), path);
		return text_str(why);
	}
	close(fd);
	if (machine_check_disk(path, read_only, &e) == 0)
		return NULL;
	text_printf(why, "Error manipulating the backing file: %s%s%s%s", e.msg, e.hint[0] ? " (" : "",
		    e.hint, e.hint[0] ? ")" : "");
	return text_str(why);
}

/* It is connected to when the machine starts: programs that serve one connection would take one
 * that only tries for theirs. */
static bool check_socket(struct api_call *c, const char *path)
{
	char buf[API_OS_ERROR];
	struct stat st;
	int code = stat(path, &st) < 0 || access(path, R_OK | W_OK) < 0 ? errno
		   : S_ISSOCK(st.st_mode)			       ? 0
								       : ECONNREFUSED;

	if (code)
		api_fault(c, "Drive config error: Unable to create the vhost-user block device: "
			     "Vhost-user error: Failed to connect to UDS Unix stream: %s",
			  api_os_error(code, buf));
	return !code;
}

static bool check_drive(struct api_call *c, const struct drive_body *d)
{
	struct text why = { 0 };
	const char *bad;

	if (d->socket && (d->path_on_host || d->is_read_only.given || d->rate_limiter ||
			  d->io_engine.given)) {
		api_fault(c, "Drive config error: Unable to create the vhost-user block device: "
			     "Invalid block config.");
		return false;
	}
	if (d->socket)
		return check_socket(c, d->socket);
	if (!d->path_on_host) {
		api_fault(c, "Drive config error: Unable to create the virtio block device: Invalid "
			     "block config.");
		return false;
	}
	bad = check_image(d->path_on_host, d->is_read_only.v, &why);
	if (bad)
		api_fault(c, "Drive config error: Unable to create the virtio block device: Virtio "
			     "backend error: %s", bad);
	text_free(&why);
	return !bad;
}

static void insert_drive(struct api_call *c, struct drive_body *d, int at)
{
	struct schema_list *l = &c->vm->config.drives;
	void *first;

	if (at < 0) {
		if (!vm_append(l, d)) {
			api_fault(c, "Drive config error: out of memory");
			return;
		}
		at = (int)l->n - 1;
		if (d->is_root_device.v) { /* to the front; the others keep their order */
			memmove(l->items + 1, l->items, (l->n - 1) * sizeof(*l->items));
			l->items[0] = d;
		}
	} else {
		schema_free(&schema_drive, l->items[at]);
		l->items[at] = d;
		if (at && d->is_root_device.v) {
			first = l->items[0];
			l->items[0] = d;
			l->items[at] = first;
		}
	}
	c->object = NULL;
}

static bool pmem_is_root(const struct vm *vm)
{
	size_t i;

	for (i = 0; i < vm->config.pmem.n; i++)
		if (((const struct pmem_body *)vm->config.pmem.items[i])->root_device.v)
			return true;
	return false;
}

/* Into the running machine. */
static bool plug_drive(struct api_call *c, const struct drive_body *d)
{
	struct machine_disk disk;
	struct err e = { 0 };

	vm_fill_drive(d, &disk);
	if (machine_plug_disk(c->vm->machine, &disk, &e) == 0)
		return true;
	api_fault_err(c, "PCI manager error", &e);
	return false;
}

void api_put_drive(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.drives;
	struct drive_body *d = c->object;
	const struct drive_body *first = l->n ? l->items[0] : NULL;
	bool runs = c->vm->machine != NULL;
	int at = vm_find(l, d->drive_id);

	if (runs && !api_may_plug(c, at))
		return;
	if (d->is_root_device.v && (runs || (first && first->is_root_device.v && at != 0))) {
		api_fault(c, "Drive config error: A root block device already exists!");
		return;
	}
	if (d->is_root_device.v && pmem_is_root(c->vm)) {
		api_fault(c, "Drive config error: Attempt to add block as a root device while the root "
			     "device defined as a pmem device");
		return;
	}
	if (!check_drive(c, d))
		return;
	vm_tidy_limits(&d->rate_limiter);
	d->is_read_only.given = !d->socket;
	if (!d->io_engine.given && !d->socket)
		d->io_engine = (struct schema_value){ DRIVE_SYNC, true };
	if (runs && !plug_drive(c, d))
		return;
	insert_drive(c, d, at);
	if (runs)
		api_plugged(c);
}

void api_delete_drive(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.drives;
	int at = vm_find(l, c->id);
	struct err e = { 0 };

	if (!api_may_unplug(c, at, at >= 0 && ((struct drive_body *)l->items[at])->is_root_device.v))
		return;
	if (machine_unplug_disk(c->vm->machine, (unsigned)at, &e) < 0) {
		api_fault_err(c, "PCI manager error", &e);
		return;
	}
	vm_remove(l, &schema_drive, (unsigned)at);
	api_plugged(c);
}

/* --- a running one ---------------------------------------------------------------------------- */

static bool change_path(struct api_call *c, const struct drive_body *d, unsigned at,
			const char *path)
{
	struct text why = { 0 };
	struct err e = { 0 };
	const char *bad = NULL;
	char buf[API_OS_ERROR];
	int fd = open(path, (d->is_read_only.v ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		text_printf(&why, "Error manipulating the backing file: %s %s",
			    api_os_error(errno, buf), path);
		bad = text_str(&why);
	} else {
		close(fd);
		if (machine_set_disk(c->vm->machine, at, path, &e) < 0)
			bad = e.msg;
	}
	if (bad)
		api_fault(c, "Drive config error: Unable to patch the block device: Virtio backend "
			     "error: %s Please verify the request arguments.", bad);
	text_free(&why);
	return !bad;
}

/* Another program's drive: it is asked for its configuration, and no more can be changed here. */
static void update_served(struct api_call *c, const struct drive_update *u, unsigned at)
{
	struct err e = { 0 };

	if (u->path_on_host || u->rate_limiter)
		api_fault(c, "Drive config error: Unable to patch the block device: Running method "
			     "expected different backend. Please verify the request arguments.");
	else if (machine_update_disk(c->vm->machine, at, &e) < 0)
		api_fault(c, "Drive config error: Unable to patch the block device: Vhost user "
			     "backend error: %s Please verify the request arguments.", e.msg);
}

void api_patch_drive(struct api_call *c)
{
	struct drive_update *u = c->object;
	struct limiter_config limits;
	struct drive_body *d;
	struct err e = { 0 };
	int at = vm_find(&c->vm->config.drives, u->drive_id);

	if (at < 0) {
		api_fault(c, "Drive config error: Unable to patch the block device: Device not found "
			     "Please verify the request arguments.");
		return;
	}
	d = c->vm->config.drives.items[at];
	if (d->socket) {
		update_served(c, u, (unsigned)at);
		return;
	}
	if (u->path_on_host) {
		if (!change_path(c, d, (unsigned)at, u->path_on_host))
			return;
		free(d->path_on_host);
		d->path_on_host = u->path_on_host;
		u->path_on_host = NULL;
	}
	if (!u->rate_limiter)
		return;
	vm_limits(u->rate_limiter, &limits);
	if (machine_limit_disk(c->vm->machine, (unsigned)at,
			       u->rate_limiter->bandwidth ? &limits.bandwidth : NULL,
			       u->rate_limiter->ops ? &limits.ops : NULL, &e) < 0)
		api_fault_err(c, "Drive config error: Unable to patch the block device", &e);
	else
		vm_merge_limits(&d->rate_limiter, &u->rate_limiter);
}

/* --- pmem ------------------------------------------------------------------------------------- */

static bool has_root(const struct vm *vm, int but)
{
	size_t i;

	for (i = 0; i < vm->config.pmem.n; i++) {
		const struct pmem_body *p = vm->config.pmem.items[i];

		if ((int)i != but && p->root_device.v)
			return true;
	}
	for (i = 0; i < vm->config.drives.n; i++) {
		const struct drive_body *d = vm->config.drives.items[i];

		if (d->is_root_device.v)
			return true;
	}
	return false;
}

/* Into the running machine. */
static bool plug_pmem(struct api_call *c, const struct pmem_body *p)
{
	struct machine_pmem pmem;
	struct err e = { 0 };

	vm_fill_pmem(p, &pmem);
	if (machine_plug_pmem(c->vm->machine, &pmem, &e) == 0)
		return true;
	api_fault_err(c, "PCI manager error", &e);
	return false;
}

void api_put_pmem(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.pmem;
	struct pmem_body *p = c->object;
	struct text why = { 0 };
	const char *bad;
	int at;

	at = vm_find(l, p->id);
	if (c->vm->machine && !api_may_plug(c, at))
		return;
	if (p->root_device.v && (c->vm->machine || has_root(c->vm, at))) {
		api_fault(c, "Pmem config error: Attempt to add pmem as a root device while the root "
			     "device defined as a block device");
		return;
	}
	bad = check_image(p->path_on_host, p->read_only.v, &why);
	if (bad) {
		api_fault(c, "Pmem config error: Error creating the pmem device: %s", bad);
	} else if (c->vm->machine && !plug_pmem(c, p)) {
		/* there is a fault */
	} else if (at >= 0) {
		schema_free(&schema_pmem, l->items[at]);
		l->items[at] = p;
		c->object = NULL;
	} else if (vm_append(l, p)) {
		c->object = NULL;
	} else {
		api_fault(c, "Pmem config error: out of memory");
	}
	if (c->vm->machine && !c->object)
		api_plugged(c);
	text_free(&why);
}

void api_delete_pmem(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.pmem;
	int at = vm_find(l, c->id);
	struct err e = { 0 };

	if (!api_may_unplug(c, at, at >= 0 && ((struct pmem_body *)l->items[at])->root_device.v))
		return;
	if (machine_unplug_pmem(c->vm->machine, (unsigned)at, &e) < 0) {
		api_fault_err(c, "PCI manager error", &e);
		return;
	}
	vm_remove(l, &schema_pmem, (unsigned)at);
	api_plugged(c);
}

void api_patch_pmem(struct api_call *c)
{
	struct pmem_update *u = c->object;
	struct limiter_config limits;
	struct pmem_body *p;
	struct err e = { 0 };
	int at = vm_find(&c->vm->config.pmem, u->id);

	if (at < 0) {
		api_fault(c, "Pmem config error: Device not found");
		return;
	}
	if (!u->rate_limiter)
		return;
	p = c->vm->config.pmem.items[at];
	vm_limits(u->rate_limiter, &limits);
	if (machine_pmem_limit(c->vm->machine, (unsigned)at,
			       u->rate_limiter->bandwidth ? &limits.bandwidth : NULL,
			       u->rate_limiter->ops ? &limits.ops : NULL, &e) < 0)
		api_fault_err(c, "Pmem config error", &e);
	else
		vm_merge_limits(&p->rate_limiter, &u->rate_limiter);
}
