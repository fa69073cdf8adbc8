/* The scenes that are searched unless others are named. */
#ifndef EXHAUSTIVE_SCENES_H
#define EXHAUSTIVE_SCENES_H

#include "exhaustive/world.h"

extern const struct scene scenes[];
extern const int scene_count;

#endif
