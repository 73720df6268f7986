/*
 * flow.h
 *		The bridge's fourth floor: the loop between a source and the sinks.
 */
#ifndef BR_FLOW_H
#define BR_FLOW_H

#include "ends.h"

typedef struct BrFlow BrFlow;

/* Why br_flow_run came back. */
typedef enum BrFlowEnd
{
	BR_FLOW_STOPPED, /* by a signal */
	BR_FLOW_DONE,    /* --once: nothing is left */
	BR_FLOW_RELOAD,  /* by a signal: adopt new routes, and run again */
	BR_FLOW_FAILED   /* by a fault */
} BrFlowEnd;

/* Starts the sinks' links.  Takes routes and source over; NULL with the
 * fault where no thread can be started. */
extern BrFlow *br_flow_make(BrRoutes *routes, BrSource *source, BrFault *fault);
/*
 * Deliver what the source has, each at least once, until something ends it.
 * A fault does where --once met it, or where it is a refusal (not an outage)
 * met before everything had worked once.
 */
extern BrFlowEnd br_flow_run(BrFlow *flow, BrFault *fault);
/*
 * Go on with other routes, and with another source where it is not NULL.
 * Deliveries that are under way end as they began; what waits is given to the
 * new routes.
 */
extern bool br_flow_adopt(BrFlow *flow, BrRoutes *routes, BrSource *source,
                          BrFault *fault);
/*
 * Finish what is held, for as long as the option drain allows, give back what
 * is left, and free everything.  True where nothing was refused.
 */
extern bool br_flow_close(BrFlow *flow);

#endif
