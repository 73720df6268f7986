/*
 * planner_list.h: the settings of the planner that a kept plan depends on, and
 * what they are for a statement of ours. By index wherever there is one: a
 * plan that was made while a table had twenty rows must still do when it has
 * millions. What joins two tables of ours goes by key from the smaller side: a
 * merge or a hash would read the other from end to end.
 *
 *     X(type, name, value)
 */
#define AS_PLANNER_SETTINGS(X)                                    \
	X(bool, enable_seqscan, false)                                \
	X(bool, enable_indexscan, true)                               \
	X(bool, enable_indexonlyscan, true)                           \
	X(bool, enable_bitmapscan, true)                              \
	X(bool, enable_tidscan, true)                                 \
	X(bool, enable_sort, true)                                    \
	X(bool, enable_hashagg, true)                                 \
	X(bool, enable_nestloop, true)                                \
	X(bool, enable_mergejoin, false)                              \
	X(bool, enable_hashjoin, false)                               \
	X(bool, enable_incremental_sort, true)                        \
	X(bool, enable_memoize, true)                                 \
	X(bool, enable_material, true)                                \
	X(bool, enable_geqo, true)                                    \
	X(bool, jit_enabled, false)                                   \
	X(int, plan_cache_mode, PLAN_CACHE_MODE_AUTO)                 \
	X(int, max_parallel_workers_per_gather, 0)                    \
	X(int, from_collapse_limit, 8)                                \
	X(int, join_collapse_limit, 8)                                \
	X(int, constraint_exclusion, CONSTRAINT_EXCLUSION_PARTITION)  \
	X(int, effective_cache_size, DEFAULT_EFFECTIVE_CACHE_SIZE)    \
	X(double, seq_page_cost, DEFAULT_SEQ_PAGE_COST)               \
	X(double, random_page_cost, DEFAULT_RANDOM_PAGE_COST)         \
	X(double, cpu_tuple_cost, DEFAULT_CPU_TUPLE_COST)             \
	X(double, cpu_index_tuple_cost, DEFAULT_CPU_INDEX_TUPLE_COST) \
	X(double, cpu_operator_cost, DEFAULT_CPU_OPERATOR_COST)
