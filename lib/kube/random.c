#include "kube/random.h"

#include <stdlib.h>
#include <sys/random.h>

uint64_t kube_random(void)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		abort(); /* for so few bytes it fails nowhere that we run */
	return number;
}
