/* SPDX-License-Identifier: Apache-2.0
 *
 * Sub-commands: one file each, wiring only. argv[0] is the command's own name. The return value is
 * the exit status: 0 done, 1 failed, 2 called wrongly. */
#ifndef FB_CMD_CMD_H
#define FB_CMD_CMD_H

int cmd_up(int argc, char **argv);
int cmd_down(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_model_server(int argc, char **argv);

#endif
