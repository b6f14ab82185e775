/* SPDX-License-Identifier: Apache-2.0
 *
 * The vllm:* families (model-server.md 1): every series exists at 0 from the start, gauges are
 * overwritten from the scheduler's state once per plan, histograms have vLLM's edges. Current
 * names, and the four renamed families beside them. One difference, on purpose: a request whose
 * client left counts as finished_reason="abort" with its times, where vLLM loses it. */
#ifndef FB_MODELSERVER_VLLM_METRICS_H
#define FB_MODELSERVER_VLLM_METRICS_H

#include "base/buf.h"
#include "modelserver/sched.h"

struct vllm_metrics;

enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_ABORT, FINISH_COUNT };

/* Times of one generation, loop mono; 0: has not happened. */
struct generation_times {
    int64_t arrival_ns;   /* request came in */
    int64_t queued_ns;    /* given to the scheduler */
    int64_t scheduled_ns; /* first planned */
    int64_t first_token_ns, last_token_ns;
    int params_n, params_max_tokens; /* 0: not given */
};

struct vllm_metrics *vllm_metrics_new(const char *model_name, int max_model_len, int block_size,
                                      int num_blocks);
void vllm_metrics_free(struct vllm_metrics *m);
void vllm_metrics_gauges(struct vllm_metrics *m, int running, int waiting, double kv_usage);
/* A step has been planned: preemptions, prefix cache. */
void vllm_metrics_planned(struct vllm_metrics *m, const struct sched_step *step);
void vllm_metrics_step_begins(struct vllm_metrics *m);
void vllm_metrics_step_ends(struct vllm_metrics *m);
/* One more token of a generation; sets its first/last token times. */
void vllm_metrics_token(struct vllm_metrics *m, struct generation_times *t, int n_prompt,
                        int cached, int64_t now_ns);
void vllm_metrics_finish(struct vllm_metrics *m, const struct generation_times *t, int n_prompt,
                         int cached, int n_output, enum finish_reason reason, int64_t now_ns);
/* The page, Prometheus text 0.0.4, or OpenMetrics 1.0 with "# EOF". Borrowed until a number
 * changes. */
struct str vllm_metrics_page(struct vllm_metrics *m, bool openmetrics);
/* For the log line: totals so far. */
void vllm_metrics_totals(const struct vllm_metrics *m, int64_t *ret_prompt, int64_t *ret_generated);

#endif
