/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /boot-source. The files are opened now and stay open, so that what boots is what was there when
 * the request was answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/resources.h"
#include "api/vm.h"

/* A descriptor, or -errno. Never waits for a FIFO's other end. */
static int open_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static void replace_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

void api_put_boot_source(struct api_call *c)
{
	struct boot_source *b = c->object;
	char buf[API_OS_ERROR];
	int kernel, initrd = -1;

	kernel = open_image(b->kernel_image_path);
	if (kernel < 0) {
		api_fault(c, "Boot source error: The kernel file cannot be opened: %s",
			  api_os_error(-kernel, buf));
		return;
	}
	if (b->initrd_path) {
		initrd = open_image(b->initrd_path);
		if (initrd < 0) {
			api_fault(c, "Boot source error: The initrd file cannot be opened due to "
				     "invalid path or invalid permissions. %s",
				  api_os_error(-initrd, buf));
			close(kernel);
			return;
		}
	}
	if (b->boot_args && strlen(b->boot_args) >= VM_MAX_CMDLINE) {
		api_fault(c, "Boot source error: The kernel command line is invalid: %zu bytes are "
			     "too many; at most %d", strlen(b->boot_args), VM_MAX_CMDLINE - 1);
		close(kernel);
		if (initrd >= 0)
			close(initrd);
		return;
	}
	replace_fd(&c->vm->kernel_fd, kernel);
	replace_fd(&c->vm->initrd_fd, initrd);
	schema_free(&schema_boot_source, c->vm->config.boot_source);
	c->vm->config.boot_source = b;
	c->object = NULL;
}
