// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making reservations, finding them, and seeing them go.
 *
 * Each has an inode of its own on a pseudo filesystem of the module, and a file
 * that nothing but its VMAs refers to: no descriptor ever names it, and it can
 * not be opened through /proc/PID/map_files as its i_fop has no open.  When the
 * last VMA goes, in whichever process, ->release() takes the id out of the
 * table.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/tract.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "compat.h"
#include "island.h"
#include "populate.h"
#include "purge_map.h"
#include "range.h"
#include "reservation.h"
#include "trap.h"

#define TRACT_MAGIC 0x74726163 /* "trac" */

/* By id, the readers under RCU.  An id under construction is reserved. */
static DEFINE_XARRAY(tract_reservations);
static atomic64_t tract_last_id;

/*
 * Mounted while there are reservations: a mount that stayed would hold a
 * reference to the module for ever.
 */
static struct vfsmount *tract_mnt;
static int tract_mnt_count;

/* The name in /proc/PID/maps, "tract:ID". */
static char *tract_dname(struct dentry *dentry, char *buffer, int length)
{
	const struct qstr *name = &dentry->d_name;
	int size = name->len + 1;

	/* At the end, as dynamic_dname() does, which is not exported. */
	if (size > length)
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + length - size, name->name, size);
}

static const struct dentry_operations tract_dentry_operations = {
	.d_dname = tract_dname,
};

static int tract_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, TRACT_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->dops = &tract_dentry_operations;
	/*
	 * Recent kernels mount pseudo filesystems noexec, which would keep the
	 * owner from having executable memory.  It is anonymous memory, and
	 * what that may be is not for the file to say.
	 */
	fc->s_iflags &= ~SB_I_NOEXEC;
	return 0;
}

static struct file_system_type tract_fs_type = {
	.name = "tract",
	.owner = THIS_MODULE,
	.init_fs_context = tract_init_fs_context,
	.kill_sb = kill_anon_super,
};

static void reservation_free(struct kref *kref)
{
	struct tract_reservation *res =
		container_of(kref, struct tract_reservation, kref);

	tract_trap_destroy(res);
	iput(res->inode);
	simple_release_fs(&tract_mnt, &tract_mnt_count);
	tract_owner_put(res->owner);
	kfree_rcu(res, rcu);
}

void tract_reservation_put(struct tract_reservation *res)
{
	kref_put(&res->kref, reservation_free);
}

static int tract_file_release(struct inode *inode, struct file *file)
{
	struct tract_reservation *res = file->private_data;

	xa_erase(&tract_reservations, res->id);
	tract_purge_map_unbind(res);
	tract_owner_uncharge(res->owner, res->length);
	tract_reservation_put(res);
	return 0;
}

static int tract_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct tract_reservation *res = file->private_data;
	unsigned long flags = 0;

	/* One private mapping, whole, by RESERVE; no other, by whatever way. */
	if (vma->vm_flags & (VM_SHARED | VM_MAYSHARE))
		return -EINVAL;
	if (READ_ONCE(res->maker) != current || vma->vm_pgoff ||
	    vma->vm_end - vma->vm_start != res->length)
		return -EINVAL;

	if (res->flags & TRACT_RESERVE_NODUMP)
		flags |= VM_DONTDUMP;
	if (res->flags & (TRACT_RESERVE_NOHUGE | TRACT_RESERVE_TRAP))
		flags |= VM_NOHUGEPAGE;
	if (!res->takes_mmap_lock)
		flags |= VM_DONTEXPAND;
	if (res->trap) {
		/* Of what there is in its page tables some is special. */
		tract_compat_vm_flags_set(vma, flags | VM_MIXEDMAP);
		tract_trap_map(vma);
		return 0;
	}
	tract_compat_vm_flags_set(vma, flags);
	vma_set_anonymous(vma);
	return 0;
}

/* Over-asks and rounds up: no kernel has an aligned search for modules. */
static unsigned long tract_file_get_unmapped_area(struct file *file,
						  unsigned long address,
						  unsigned long length,
						  unsigned long pgoff,
						  unsigned long flags)
{
	struct tract_reservation *res = file->private_data;
	unsigned long slack = res->align - PAGE_SIZE;

	/*
	 * mremap() of the owner or a child, to where it likes: 7.2 takes what
	 * it gets from here even with MREMAP_FIXED.
	 */
	if (READ_ONCE(res->maker) != current)
		return tract_compat_get_unmapped_area(address, length, pgoff,
						      flags);
	if (res->flags & TRACT_RESERVE_NEAR)
		return tract_island_find(res->near, res->reach, length,
					 res->align);
	if (length > TASK_SIZE - slack)
		return -ENOMEM;
	address = tract_compat_get_unmapped_area(0, length + slack, 0, flags);
	if (IS_ERR_VALUE(address))
		return address;
	return tract_range_align_up(address, res->align);
}

static const struct file_operations tract_file_operations = {
	.owner = THIS_MODULE,
	.release = tract_file_release,
	.mmap = tract_file_mmap,
	.get_unmapped_area = tract_file_get_unmapped_area,
};

/*
 * The file of @res.  From here on the file owns the reservation: to put the one
 * is to undo the other.
 */
static struct file *open_file(struct tract_reservation *res)
{
	struct file *file;
	char name[32];

	snprintf(name, sizeof(name), "tract:%llu", res->id);
	/*
	 * The last fput() puts a reference to the module, alloc_file_pseudo()
	 * takes none.  The caller's descriptor of the device holds one.
	 */
	__module_get(THIS_MODULE);
	ihold(res->inode);
	file = alloc_file_pseudo(res->inode, tract_mnt, name, O_RDWR,
				 &tract_file_operations);
	if (IS_ERR(file)) {
		iput(res->inode);
		module_put(THIS_MODULE);
		return file;
	}
	file->private_data = res;
	return file;
}

static int map_file(struct tract_reservation *res, struct file *file)
{
	unsigned long prot = PROT_READ | PROT_WRITE;
	unsigned long address;

	if (res->flags & TRACT_RESERVE_EXEC)
		prot |= PROT_EXEC;
	/*
	 * Others come upon the VMA as soon as it is in the map, and only
	 * compare this with themselves.
	 */
	WRITE_ONCE(res->maker, current);
	address = vm_mmap(file, 0, res->length, prot,
			  MAP_PRIVATE | MAP_NORESERVE, 0);
	WRITE_ONCE(res->maker, NULL);
	if (IS_ERR_VALUE(address))
		return address;
	res->address = address;
	return 0;
}

/* The memory behind a reservation that has its limits, flags and length. */
static int reservation_init(struct tract_reservation *res)
{
	int err;

	err = simple_pin_fs(&tract_fs_type, &tract_mnt, &tract_mnt_count);
	if (err)
		return err;
	res->inode = alloc_anon_inode(tract_mnt->mnt_sb);
	if (IS_ERR(res->inode)) {
		err = PTR_ERR(res->inode);
		goto err_fs;
	}
	res->id = atomic64_inc_return(&tract_last_id);
	err = xa_reserve(&tract_reservations, res->id, GFP_KERNEL_ACCOUNT);
	if (err)
		goto err_inode;
	return 0;

err_inode:
	iput(res->inode);
err_fs:
	simple_release_fs(&tract_mnt, &tract_mnt_count);
	return err;
}

/* Islands are for code, which needs no huge page to start at. */
static u64 align_min(const struct tract_reserve *args)
{
	return args->flags & TRACT_RESERVE_NEAR ? PAGE_SIZE : TRACT_ALIGN_MIN;
}

/*
 * Returns the file of a new reservation with all that comes before the mapping;
 * fput() undoes it.
 */
static struct file *reservation_create(const struct tract_reserve *args)
{
	struct tract_reservation *res;
	struct file *file;
	int err = 0;

	res = kzalloc(sizeof(*res), GFP_KERNEL_ACCOUNT);
	if (!res)
		return ERR_PTR(-ENOMEM);
	kref_init(&res->kref);
	res->flags = args->flags;
	res->length = args->length;
	res->align = args->align ?: align_min(args);
	res->near = args->near;
	res->reach = args->reach;
	res->takes_mmap_lock =
		IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
		!TRACT_COMPAT_LOCKLESS_HUGE &&
		!(args->flags & (TRACT_RESERVE_NOHUGE | TRACT_RESERVE_TRAP));
	res->mm = current->mm;
	res->owner = tract_owner_charge(res->length);
	if (IS_ERR(res->owner)) {
		err = PTR_ERR(res->owner);
		goto err_free;
	}
	if (args->flags & TRACT_RESERVE_TRAP)
		err = tract_trap_create(res);
	if (err)
		goto err_owner;
	err = reservation_init(res);
	if (err)
		goto err_trap;
	file = open_file(res);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto err_init;
	}
	return file;

err_init:
	xa_erase(&tract_reservations, res->id);
	tract_owner_uncharge(res->owner, res->length);
	tract_reservation_put(res);
	return ERR_PTR(err);
err_trap:
	tract_trap_destroy(res);
err_owner:
	tract_owner_uncharge(res->owner, res->length);
	tract_owner_put(res->owner);
err_free:
	kfree(res);
	return ERR_PTR(err);
}

/*
 * Map, publish, tell.  Published before it is told, so that whoever reads the
 * id may use it; told last, so that what fails before changes nothing.
 */
static int reservation_map(struct tract_reservation *res, struct file *file,
			   struct tract_reserve __user *uarg)
{
	int err;

	err = map_file(res, file);
	if (err)
		return err;
	err = tract_populate_anchor(res);
	if (err)
		goto err_unmap;
	/* Cannot fail, the place is reserved. */
	xa_store(&tract_reservations, res->id, res, GFP_KERNEL);
	if (put_user(res->address, &uarg->out_address) ||
	    put_user(res->id, &uarg->out_id)) {
		err = -EFAULT;
		goto err_unmap;
	}
	return 0;

err_unmap:
	tract_populate_undo(res);
	return err;
}

static int reserve_error(int err)
{
	switch (err) {
	case -EAGAIN: /* RLIMIT_MEMLOCK, after mlockall(MCL_FUTURE) */
	case -ENFILE: /* fs.file-max */
		return -ENOMEM;
	default:
		return err;
	}
}

static int check_reserve(const struct tract_reserve *args)
{
	const struct tract_range whole = { 0, args->length };
	bool near = args->flags & TRACT_RESERVE_NEAR;

	if (args->flags & ~TRACT_RESERVE_FLAGS)
		return -EOPNOTSUPP;
	if (tract_range_check(&whole, args->length, PAGE_SIZE))
		return -EINVAL;
	if (args->align && tract_range_check_align(args->align, align_min(args),
						   TRACT_ALIGN_MAX))
		return -EINVAL;
	if (near ? !args->reach : args->near || args->reach)
		return -EINVAL;
	return 0;
}

int tract_reservation_reserve(void *arg, void __user *uarg)
{
	struct tract_reserve __user *user = uarg;
	const struct tract_reserve *args = arg;
	struct file *file;
	int err;

	err = check_reserve(args);
	if (err)
		return err;
	/* While there is nothing to undo. */
	if (put_user(0, &user->out_address) || put_user(0, &user->out_id))
		return -EFAULT;

	file = reservation_create(args);
	if (IS_ERR(file))
		return reserve_error(PTR_ERR(file));
	err = reservation_map(file->private_data, file, user);
	/* The VMA has its own reference, if there is one. */
	fput(file);
	return reserve_error(err);
}

/* The caller's own reservation @id with a reference, or NULL. */
struct tract_reservation *tract_reservation_get(u64 id)
{
	struct tract_reservation *res;

	rcu_read_lock();
	res = xa_load(&tract_reservations, id);
	if (res &&
	    (res->mm != current->mm || !kref_get_unless_zero(&res->kref)))
		res = NULL;
	rcu_read_unlock();
	return res;
}

/* The first reservation from *@id on, whosever it is, and its id; or NULL. */
struct tract_reservation *tract_reservation_get_next(u64 *id)
{
	struct tract_reservation *res;
	unsigned long index = *id;

	rcu_read_lock();
	do {
		res = xa_find(&tract_reservations, &index, ULONG_MAX,
			      XA_PRESENT);
	} while (res && !kref_get_unless_zero(&res->kref));
	rcu_read_unlock();
	*id = index;
	return res;
}

/* Not yet released.  The caller has a reference, but that keeps no mapping. */
bool tract_reservation_is_mapped(const struct tract_reservation *res)
{
	return xa_load(&tract_reservations, res->id) == res;
}

/* With the last reference to the module gone there is no file left. */
void tract_reservation_exit(void)
{
	WARN_ON(!xa_empty(&tract_reservations));
	xa_destroy(&tract_reservations);
}
