/**
 * Gradual rollouts: a new latest revision takes over from the one before in steps, over the rollout's duration. It begins with one per cent; how long that took to reach the data
 * plane is the shortest step. Steps as upstream's `pkg/reconciler/route/traffic/rollout.go` (v1.23); the state lives in an annotation of the Ingress.
 */

/** A revision's share of the route's traffic, in per cent. */
export type RevisionShare = { readonly revisionName: string; readonly percent: number };

/** One Configuration at one tag. Revisions from oldest to newest; more than one while it is rolled out. */
export type ConfigurationRollout = {
  readonly configurationName: string;
  readonly tag: string;
  readonly percent: number;
  readonly revisions: readonly RevisionShare[];
  /** Set once there is something to roll out. Times in ms since 1970. */
  readonly startMs?: number;
  readonly nextStepMs?: number;
  readonly stepMs?: number;
  readonly stepPercent?: number;
};

/** All of a route. */
export type Rollout = readonly ConfigurationRollout[];

/** True when nothing is under way. */
export function isDone(rollout: Rollout): boolean {
  return rollout.every(({ revisions }) => revisions.length < 2);
}

/** Reads the annotation. Undefined when it is not there or makes no sense. */
export function parseRollout(text: string | undefined): Rollout | undefined {
  try {
    const parsed = JSON.parse(text ?? "") as Rollout;
    return Array.isArray(parsed) && parsed.every(isSound) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isSound({ percent, stepPercent = 0, revisions }: ConfigurationRollout): boolean {
  if (!Array.isArray(revisions) || percent > 100 || stepPercent < 0 || stepPercent > percent) return false;
  return (revisions as readonly RevisionShare[]).reduce((sum, share) => sum + share.percent, 0) === percent;
}

/** The data plane follows the first per cent: from how long that took follow the steps. */
export function observeReady(rollout: Rollout, nowMs: number, durationSecs: number): Rollout {
  return rollout.map((one) =>
    one.startMs === undefined || one.stepMs !== undefined ? one : withSteps(one, nowMs, durationSecs),
  );
}

function withSteps(one: ConfigurationRollout, nowMs: number, durationSecs: number): ConfigurationRollout {
  const shortestSecs = Math.max(1, Math.ceil((nowMs - (one.startMs ?? nowMs)) / 1000));
  const restSecs = Math.max(1, durationSecs - shortestSecs);
  const restPercent = one.percent - 1;
  const steps = Math.min(Math.max(1, restSecs / shortestSecs), restPercent);
  const stepMs = (restSecs / steps) * 1000;
  return { ...one, stepMs, stepPercent: Math.round(restPercent / steps), nextStepMs: nowMs + stepMs };
}

/** Where the rollout is now: `goal` is where it would be without gradual steps, `before` where it was. */
export function stepRollout(goal: Rollout, before: Rollout | undefined, nowMs: number): Rollout {
  if (before === undefined || before.length === 0) return goal;
  return goal
    .map((one) => {
      const same = before.find(
        ({ configurationName, tag }) => configurationName === one.configurationName && tag === one.tag,
      );
      return same === undefined || one.percent <= 1 ? one : stepConfiguration(one, same, nowMs);
    })
    .filter(({ percent }) => percent > 0);
}

/** When the next step is due, or undefined. */
export function nextStepMs(rollout: Rollout): number | undefined {
  const due = rollout.flatMap((one) =>
    one.nextStepMs === undefined || one.revisions.length < 2 ? [] : [one.nextStepMs],
  );
  return due.length === 0 ? undefined : Math.min(...due);
}

function stepConfiguration(
  goal: ConfigurationRollout,
  before: ConfigurationRollout,
  nowMs: number,
): ConfigurationRollout {
  const latest = goal.revisions.at(-1)?.revisionName ?? "";
  const shares = adjusted(before.revisions, goal.percent - before.percent);
  const wasLatest = before.revisions.at(-1)?.revisionName;
  if (wasLatest === undefined) return goal;
  if (wasLatest !== latest) return { ...goal, revisions: begun(shares, latest), startMs: nowMs };
  if (shares.length < 2) return goal;
  const { startMs, nextStepMs: dueMs, stepMs, stepPercent } = before;
  const times = {
    ...(startMs === undefined ? {} : { startMs }),
    ...(dueMs === undefined ? {} : { nextStepMs: dueMs }),
    ...(stepMs === undefined ? {} : { stepMs }),
    ...(stepPercent === undefined ? {} : { stepPercent }),
  };
  const same = { ...goal, revisions: shares, ...times };
  if (!stepPercent || dueMs === undefined || nowMs < dueMs) return same;
  const revisions = moved(shares, stepPercent, goal.percent);
  return revisions.length < 2 ? { ...goal, revisions } : { ...same, revisions, nextStepMs: nowMs + (stepMs ?? 0) };
}

/** A larger share of the whole goes to the newest; a smaller one is taken from the oldest. */
function adjusted(revisions: readonly RevisionShare[], difference: number): readonly RevisionShare[] {
  if (difference >= 0) {
    const last = revisions.length - 1;
    return revisions.map((share, index) =>
      index === last ? { ...share, percent: share.percent + difference } : share,
    );
  }
  return drained(revisions, -difference);
}

/** Takes per cents from the front; what has none left goes. */
function drained(revisions: readonly RevisionShare[], percent: number): readonly RevisionShare[] {
  let rest = percent;
  return revisions.flatMap((share) => {
    const taken = Math.min(rest, share.percent);
    rest -= taken;
    return share.percent > taken ? [{ ...share, percent: share.percent - taken }] : [];
  });
}

/** The newest of the old ones gives its first per cent. */
function begun(revisions: readonly RevisionShare[], latest: string): readonly RevisionShare[] {
  const giver = revisions.findLastIndex(({ percent }) => percent > 0);
  const old = revisions
    .map((share, index) => (index === giver ? { ...share, percent: share.percent - 1 } : share))
    .filter(({ percent }) => percent > 0);
  return [...old, { revisionName: latest, percent: 1 }];
}

/** One step: the newest of the old ones gives, then the one before it. */
function moved(revisions: readonly RevisionShare[], step: number, total: number): readonly RevisionShare[] {
  const old = drained(revisions.slice(0, -1).toReversed(), step).toReversed();
  const latest = revisions.at(-1);
  const taken = old.reduce((sum, { percent }) => sum + percent, 0);
  return latest === undefined ? old : [...old, { ...latest, percent: total - taken }];
}
