/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_SHRINKER_H
#define TRACT_SHRINKER_H

struct kmem_cache;
struct tract_bound_map;

void *tract_shrinker_alloc(struct kmem_cache *cache);
void tract_shrinker_add(struct tract_bound_map *map);
void tract_shrinker_del(struct tract_bound_map *map);

int tract_shrinker_init(void);
void tract_shrinker_exit(void);

#endif /* TRACT_SHRINKER_H */
