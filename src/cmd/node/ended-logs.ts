/**
 * Of which pods the node keeps the last lines: those of Knative revisions, since they come and go by themselves. `nodeless fn logs` asks for them.
 */
import { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import { labels, userPortName } from "#serving/names.ts";

/** By the Revision's uid: another one may have its name later. */
export function endedLogs(folder: string): EndedLogs {
  return new EndedLogs({
    folder,
    of({ metadata, spec }) {
      const revision = metadata?.labels?.[labels.revisionUid];
      const user = spec?.containers.find(({ ports = [] }) => ports.some(({ name }) => name === userPortName));
      if (revision === undefined || user === undefined) return undefined;
      return { name: revision, container: user.name };
    },
  });
}
