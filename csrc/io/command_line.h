/* The words by which this process was started, as every user of the machine can see them. */
#ifndef RLK_COMMAND_LINE_H
#define RLK_COMMAND_LINE_H

/* From now on the credentials of URLs show as stars there. What was copied before is left alone. */
void rlk_hide_credentials(void);

#endif
