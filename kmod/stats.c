// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers to questions, and who may ask them.
 *
 * ptrace_may_access() is not exported to modules; the rule here is the one of
 * the UAPI header, which is stricter than the kernel's where a process changes
 * its user ids, and does not know of dumpability or security modules.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/magic.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/tract.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "owner.h"
#include "purge_map.h"
#include "reservation.h"
#include "stats.h"

/* May the caller ask about the process of @task? */
static bool may_ask(struct task_struct *task)
{
	const kuid_t uid = current_euid();
	const struct cred *cred;
	bool may;

	if (same_thread_group(task, current))
		return true;
	rcu_read_lock();
	cred = __task_cred(task);
	may = (uid_eq(uid, cred->uid) && uid_eq(uid, cred->euid) &&
	       uid_eq(uid, cred->suid)) ||
	      ns_capable_noaudit(cred->user_ns, CAP_SYS_PTRACE);
	rcu_read_unlock();
	return may;
}

/*
 * The mm of the process of @task, whose first thread may have exited, with a
 * reference to the structure so that its address stays unique; or NULL.
 */
static struct mm_struct *grab_mm(struct task_struct *task)
{
	struct mm_struct *mm = NULL;
	struct task_struct *thread;

	rcu_read_lock();
	for_each_thread(task, thread) {
		task_lock(thread);
		if (thread->mm && !(thread->flags & PF_KTHREAD)) {
			mm = thread->mm;
			mmgrab(mm);
		}
		task_unlock(thread);
		if (mm)
			break;
	}
	rcu_read_unlock();
	return mm;
}

/* The process that owns @res, with a reference, or NULL if that is gone. */
static struct task_struct *get_owner_task(struct tract_reservation *res)
{
	struct pid *pid = tract_owner_pid(res->owner);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_TGID);
	struct mm_struct *mm;

	put_pid(pid);
	if (!task)
		return NULL;
	/* It may have gone on without us, by exec(). */
	mm = grab_mm(task);
	if (mm)
		mmdrop(mm);
	if (mm != res->mm) {
		put_task_struct(task);
		return NULL;
	}
	return task;
}

static bool may_see(struct tract_reservation *res)
{
	struct task_struct *task;
	bool may;

	if (res->mm == current->mm)
		return true;
	task = get_owner_task(res);
	/*
	 * In the children of a process that is gone: nobody's to ask about, so
	 * for those who may ask about the system.
	 */
	if (!task)
		return ns_capable_noaudit(&init_user_ns, CAP_SYS_PTRACE);
	may = may_ask(task);
	put_task_struct(task);
	return may;
}

/* vm.max_map_count is not exported to modules.  0 if it cannot be read. */
static u64 read_map_max(void)
{
	struct file *file;
	char text[16];
	u64 value = 0;
	loff_t pos = 0;
	ssize_t n;

	/* As the caller, who may have mounted anything there: do not wait. */
	file = filp_open("/proc/sys/vm/max_map_count", O_RDONLY | O_NONBLOCK,
			 0);
	if (IS_ERR(file))
		return 0;
	if (file_inode(file)->i_sb->s_magic == PROC_SUPER_MAGIC) {
		n = kernel_read(file, text, sizeof(text) - 1, &pos);
		if (n > 0) {
			text[n] = '\0';
			if (kstrtou64(strim(text), 10, &value))
				value = 0;
		}
	}
	filp_close(file, NULL);
	return value;
}

static u64 map_count(const struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users) ? READ_ONCE(mm->map_count) : 0;
}

static void fill(struct tract_stats *stats,
		 const struct tract_owner_totals *totals)
{
	stats->out_reservations = totals->reservations;
	stats->out_reserved_bytes = totals->reserved_bytes;
	stats->out_populated_bytes = totals->populated_bytes;
	stats->out_decommitted_bytes = totals->decommitted_bytes;
	stats->out_operations = totals->operations;
	stats->out_refused_zaps = totals->refused_zaps;
	stats->out_offered_units = totals->offered_units;
	stats->out_reused_units = totals->reused_units;
	stats->out_purged_age_bytes = totals->purged_age_bytes;
	stats->out_purged_pressure_bytes = totals->purged_pressure_bytes;
	stats->out_sweeps = totals->sweeps;
	stats->out_sweep_ns = totals->sweep_ns;
	stats->out_skipped_sweeps = totals->skipped_sweeps;
}

static void fill_reservation(struct tract_stats *stats,
			     struct tract_reservation *res)
{
	struct tract_owner_totals totals = {
		.reservations = 1,
		.reserved_bytes = res->length,
	};
	struct task_struct *task = get_owner_task(res);

	tract_purge_map_count(res);
	tract_owner_read(&res->counters, &totals);
	fill(stats, &totals);
	stats->out_id = res->id;
	stats->out_address = res->address;
	stats->out_reserve_flags = res->flags;
	stats->out_map_count = map_count(res->mm);
	stats->out_pid = 0;
	if (task) {
		stats->out_pid = task_tgid_vnr(task);
		put_task_struct(task);
	}
}

/* The first from stats->id on that @mm owns, or, without mm, that is visible. */
static int get_next(struct tract_stats *stats, const struct mm_struct *mm)
{
	struct tract_reservation *res;
	u64 id = stats->id;

	while (id++ < U64_MAX) {
		if (fatal_signal_pending(current))
			return -EINTR;
		res = tract_reservation_get_next(&id);
		if (!res)
			break;
		if (mm ? res->mm == mm : may_see(res)) {
			fill_reservation(stats, res);
			tract_reservation_put(res);
			return 0;
		}
		tract_reservation_put(res);
		cond_resched();
	}
	return -ENOENT;
}

static int get_one(struct tract_stats *stats, const struct mm_struct *mm)
{
	struct tract_reservation *res;
	u64 id = stats->id;

	res = id ? tract_reservation_get_next(&id) : NULL;
	if (!res)
		return -ENOENT;
	if (id != stats->id || res->mm != mm) {
		tract_reservation_put(res);
		return -ENOENT;
	}
	fill_reservation(stats, res);
	tract_reservation_put(res);
	return 0;
}

static int get_process(struct tract_stats *stats, struct task_struct *task,
		       const struct mm_struct *mm)
{
	struct tract_owner_totals totals = {};

	if (mm) {
		tract_purge_map_count_all(mm);
		tract_owner_totals_mm(mm, &totals);
		stats->out_map_count = map_count(mm);
	}
	fill(stats, &totals);
	stats->out_pid = task_tgid_vnr(task);
	return 0;
}

static int get_system(struct tract_stats *stats)
{
	struct tract_owner_totals totals;

	if (stats->pid || stats->id)
		return -EINVAL;
	if (!capable(CAP_SYS_PTRACE))
		return -EPERM;
	tract_purge_map_count_all(NULL);
	tract_owner_totals_system(&totals);
	fill(stats, &totals);
	return 0;
}

/* The process that stats->pid names, with a reference. */
static struct task_struct *get_task(const struct tract_stats *stats)
{
	struct task_struct *task;

	if (stats->pid < 0)
		return ERR_PTR(-EINVAL);
	if (!stats->pid) {
		get_task_struct(current);
		return current;
	}
	rcu_read_lock();
	task = get_pid_task(find_vpid(stats->pid), PIDTYPE_TGID);
	rcu_read_unlock();
	if (!task)
		return ERR_PTR(-ESRCH);
	if (!may_ask(task)) {
		put_task_struct(task);
		return ERR_PTR(-EPERM);
	}
	return task;
}

static int get_of_process(struct tract_stats *stats)
{
	struct task_struct *task = get_task(stats);
	struct mm_struct *mm;
	int err;

	if (IS_ERR(task))
		return PTR_ERR(task);
	mm = grab_mm(task);
	if (stats->scope == TRACT_SCOPE_PROCESS)
		err = get_process(stats, task, mm);
	else if (!mm)
		err = -ENOENT;
	else if (stats->flags & TRACT_STATS_NEXT)
		err = get_next(stats, mm);
	else
		err = get_one(stats, mm);
	if (mm)
		mmdrop(mm);
	put_task_struct(task);
	return err;
}

static int get_by_scope(struct tract_stats *stats)
{
	switch (stats->scope) {
	case TRACT_SCOPE_SYSTEM:
		return get_system(stats);
	case TRACT_SCOPE_PROCESS:
		return stats->id ? -EINVAL : get_of_process(stats);
	default:
		if (stats->pid == -1 && stats->flags & TRACT_STATS_NEXT)
			return get_next(stats, NULL);
		return get_of_process(stats);
	}
}

int tract_stats_get(void *arg, void __user *uarg)
{
	const size_t out = offsetof(struct tract_stats, out_id);
	struct tract_stats *stats = arg;
	/* Of an older, smaller version of the structure only that. */
	const size_t end = min_t(size_t, stats->size, sizeof(*stats));
	int err;

	if (stats->flags & ~TRACT_STATS_NEXT)
		return -EOPNOTSUPP;
	if (stats->scope < TRACT_SCOPE_RESERVATION ||
	    stats->scope > TRACT_SCOPE_SYSTEM)
		return -EINVAL;
	if (stats->flags && stats->scope != TRACT_SCOPE_RESERVATION)
		return -EINVAL;
	/* What the caller had there is not an answer. */
	memset((char *)stats + out, 0, sizeof(*stats) - out);
	err = get_by_scope(stats);
	if (err)
		return err;
	stats->out_map_max = read_map_max();
	if (copy_to_user(uarg + out, (char *)stats + out, end - out))
		return -EFAULT;
	return 0;
}
