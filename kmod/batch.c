// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: read all, check all, then act.
 *
 * The operations are copied once and never read again, so that what was checked
 * is what is carried out.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "owner.h"
#include "populate.h"
#include "range.h"
#include "reservation.h"
#include "zap.h"

#define FEW 2

struct batch {
	u32 count;
	u32 completed;
	u32 failed;
	struct tract_op __user *user;
	struct tract_op *ops;
	/*
	 * Of each operation.  Neighbours in the array that name the same one
	 * share a reference; see is_shared().
	 */
	struct tract_reservation **res;
	/* Where both are if they are few: an allocation costs more than an op. */
	struct tract_op few_ops[FEW];
	struct tract_reservation *few_res[FEW];
};

static struct tract_range range_of(const struct tract_op *op)
{
	return (struct tract_range){ op->offset, op->length };
}

static bool is_shared(const struct batch *batch, u32 i)
{
	return i && batch->res[i] == batch->res[i - 1];
}

static int check_op(struct batch *batch, u32 i)
{
	const struct tract_op *op = &batch->ops[i];
	const struct tract_range range = range_of(op);

	if (op->op >= BITS_PER_LONG_LONG || !(BIT_ULL(op->op) & TRACT_BATCH_OPS))
		return -EOPNOTSUPP;
	if (i && op->id == batch->ops[i - 1].id)
		batch->res[i] = batch->res[i - 1];
	else
		batch->res[i] = tract_reservation_get(op->id);
	if (!batch->res[i])
		return -ENOENT;
	if ((BIT_ULL(op->op) & TRACT_TRAP_OPS) && !batch->res[i]->trap)
		return -EINVAL;
	return tract_range_check(&range, batch->res[i]->length, PAGE_SIZE);
}

static void batch_put(struct batch *batch)
{
	u32 i;

	for (i = 0; i < batch->count && batch->res[i]; i++)
		if (!is_shared(batch, i))
			tract_reservation_put(batch->res[i]);
}

static int batch_alloc(struct batch *batch)
{
	if (batch->count <= FEW) {
		batch->ops = batch->few_ops;
		batch->res = batch->few_res;
		return 0;
	}
	batch->ops = kvmalloc_array(batch->count, sizeof(*batch->ops),
				    GFP_KERNEL_ACCOUNT);
	batch->res = kvcalloc(batch->count, sizeof(*batch->res),
			      GFP_KERNEL_ACCOUNT);
	return batch->ops && batch->res ? 0 : -ENOMEM;
}

static void batch_free(struct batch *batch)
{
	if (batch->count <= FEW)
		return;
	kvfree(batch->res);
	kvfree(batch->ops);
}

/*
 * Write each result, so that an array that cannot be written is found before
 * anything is done; and 0 is what the results of a good batch mostly are.
 */
static int batch_read(struct batch *batch)
{
	u32 i;

	if (copy_from_user(batch->ops, batch->user,
			   array_size(batch->count, sizeof(*batch->ops))))
		return -EFAULT;
	for (i = 0; i < batch->count; i++)
		if (put_user(0, &batch->user[i].out_result))
			return -EFAULT;
	return 0;
}

static int batch_check(struct batch *batch)
{
	u32 i;
	int err;

	for (i = 0; i < batch->count; i++) {
		err = check_op(batch, i);
		if (!err)
			continue;
		if (put_user(err, &batch->user[i].out_result))
			return -EFAULT;
		return err;
	}
	return 0;
}

/* How many operations from @i on can be carried out as one, and what they are. */
static u32 gather(const struct batch *batch, u32 i, struct tract_range *range)
{
	const struct tract_op *first = &batch->ops[i];
	u32 n = 1;

	*range = range_of(first);
	while (i + n < batch->count) {
		const struct tract_op *op = &batch->ops[i + n];
		const struct tract_range next = range_of(op);

		if (op->op != first->op || op->id != first->id ||
		    !tract_range_merge(range, &next))
			break;
		n++;
	}
	return n;
}

/* Of @n operations carried out as one and stopped, those that were done. */
static u32 count_done(const struct batch *batch, u32 i, u32 n,
		      const struct tract_range *range, u64 done)
{
	u32 k;

	for (k = 0; k < n; k++) {
		const struct tract_range part = range_of(&batch->ops[i + k]);

		if (!tract_range_done(range, done, &part))
			break;
	}
	return k;
}

static void set_results(struct batch *batch, u32 n, int err)
{
	for (; n; n--) {
		batch->ops[batch->completed++].out_result = err;
		if (err)
			batch->failed++;
	}
}

/* Carry out the next operations.  0 or, stopped by a fatal signal, -EINTR. */
static int batch_step(struct batch *batch)
{
	const u32 i = batch->completed;
	struct tract_reservation *res = batch->res[i];
	struct tract_owner_work work = {};
	struct tract_range range;
	u32 n = gather(batch, i, &range);
	u64 done;
	int err;

	switch (batch->ops[i].op) {
	case TRACT_OP_DECOMMIT:
		err = res->trap ? tract_trap_change(res, TRACT_OP_DECOMMIT,
						    &range, &done) :
				  tract_zap_range(res, &range, &done);
		work.decommitted_bytes = done;
		break;
	case TRACT_OP_DISCARD:
		err = tract_zap_range(res, &range, &done);
		work.decommitted_bytes = done;
		break;
	case TRACT_OP_POPULATE:
		err = tract_populate_range(res, &range, &done);
		work.populated_bytes = done;
		break;
	default:
		err = tract_trap_change(res, batch->ops[i].op, &range, &done);
		break;
	}
	if (err == -EINTR)
		n = count_done(batch, i, n, &range, done);
	if (err == -EBUSY)
		work.refused_zaps = n;
	work.operations = n;
	set_results(batch, n, err == -EINTR ? 0 : err);
	tract_owner_count(res->owner, &res->counters, &work);
	return err == -EINTR ? -EINTR : 0;
}

static int batch_execute(struct batch *batch, struct tract_batch __user *user)
{
	int err = 0;
	u32 i;

	while (batch->completed < batch->count && !err)
		err = batch_step(batch);

	/* It could be written a moment ago, and 0 is there. */
	for (i = 0; i < batch->completed; i++)
		if (batch->ops[i].out_result &&
		    put_user(batch->ops[i].out_result,
			     &batch->user[i].out_result))
			err = err ?: -EFAULT;
	if (put_user(batch->completed, &user->out_completed) ||
	    put_user(batch->failed, &user->out_failed))
		err = err ?: -EFAULT;
	return err;
}

int tract_batch_run(void *arg, void __user *uarg)
{
	struct tract_batch __user *user = uarg;
	const struct tract_batch *args = arg;
	struct batch batch = {
		.count = args->count,
		.user = u64_to_user_ptr(args->ops),
	};
	int err;

	if (args->flags)
		return -EOPNOTSUPP;
	if (args->reserved || !args->count || args->count > TRACT_BATCH_MAX)
		return -EINVAL;
	if (put_user(0, &user->out_completed) || put_user(0, &user->out_failed))
		return -EFAULT;

	err = batch_alloc(&batch);
	if (err)
		goto out_free;
	err = batch_read(&batch);
	if (err)
		goto out_free;
	err = batch_check(&batch);
	if (!err)
		err = batch_execute(&batch, user);
	batch_put(&batch);
out_free:
	batch_free(&batch);
	return err;
}
