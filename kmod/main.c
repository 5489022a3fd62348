// SPDX-License-Identifier: GPL-2.0-only
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "ioctl.h"
#include "purge_map.h"
#include "reservation.h"
#include "shrinker.h"
#include "sweep.h"
#include "trap.h"

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
	int err;

	err = tract_trap_init();
	if (err)
		return err;
	err = tract_purge_map_init();
	if (err)
		goto err_trap;
	err = tract_shrinker_init();
	if (err)
		goto err_purge_map;
	err = tract_sweep_init();
	if (err)
		goto err_shrinker;
	err = misc_register(&tract_device);
	if (err)
		goto err_sweep;
	return 0;

err_sweep:
	tract_sweep_exit();
err_shrinker:
	tract_shrinker_exit();
err_purge_map:
	tract_purge_map_exit();
err_trap:
	tract_trap_exit();
	return err;
}

static void __exit tract_exit(void)
{
	misc_deregister(&tract_device);
	tract_sweep_exit();
	tract_shrinker_exit();
	tract_purge_map_exit();
	tract_reservation_exit();
	tract_trap_exit();
}

module_init(tract_init);
module_exit(tract_exit);

MODULE_DESCRIPTION("Memory reservations whose state never changes the map");
MODULE_LICENSE("GPL");
