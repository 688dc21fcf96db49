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

/* What is wrong with a command line, or NULL. */
static const char *find_fault(const char *args)
{
	for (const char *p = args; *p; p++)
		if (*p < ' ' || *p > '~')
			return "String contains a non-printable ASCII character.";
	return strlen(args) >= VM_MAX_CMDLINE ? VM_CMDLINE_TOO_LONG : NULL;
}

void api_put_boot_source(struct api_call *c)
{
	struct boot_source *b = c->object;
	const char *bad_args;
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
	bad_args = b->boot_args ? find_fault(b->boot_args) : NULL;
	if (bad_args) {
		api_fault(c, "Boot source error: The kernel command line is invalid: %s", bad_args);
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
