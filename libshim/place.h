/* SPDX-License-Identifier: MIT */
/*
 * Memory within reach of an address.
 */
#ifndef TRACT_PLACE_H
#define TRACT_PLACE_H

#include "common.h"

/*
 * Maps @length bytes, a multiple of the page size, read-write, every one within
 * @reach of @near, in the nearest place that is free.  With @device, a
 * descriptor of the module, the kernel finds it; without (negative), or where
 * that one will not, it is looked for in /proc/self/maps.
 *
 * The address, or -EADDRNOTAVAIL when there is no such place, -ENOMEM.
 */
long tract__place_near(int device, uintptr_t near, size_t reach, size_t length);

#endif
