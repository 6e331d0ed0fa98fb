#pragma once

/*
 * Chance, for jitter and for names. Pure code takes the number.
 */

#include <stdint.h>

uint64_t kube_random(void);
