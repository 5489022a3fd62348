// SPDX-License-Identifier: GPL-2.0-only
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "ioctl.h"
#include "reservation.h"

static const struct file_operations tract_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = tract_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* For all: it gives a process nothing beyond its own memory. */
static struct miscdevice tract_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tract",
	.fops = &tract_fops,
	.mode = 0666,
};

static int __init tract_init(void)
{
	return misc_register(&tract_device);
}

static void __exit tract_exit(void)
{
	misc_deregister(&tract_device);
	tract_reservation_exit();
}

module_init(tract_init);
module_exit(tract_exit);

MODULE_DESCRIPTION("Memory reservations whose state never changes the map");
MODULE_LICENSE("GPL");
