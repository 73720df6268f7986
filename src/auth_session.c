#include "ground.h"
PG_MODULE_MAGIC;
