/**
 * Defaulting and validation of Sequences and Parallels. Behaviour and messages as upstream's `pkg/apis/flows/v1` (v1.22).
 */
import { findChannelTemplate } from "#eventing/config/channel-defaults-config.ts";
import type { ChannelTemplate, Parallel, ParallelBranch, Sequence, SequenceStep } from "#eventing/kinds.ts";
import { type FieldError, invalidArrayValue, missingField, viaField } from "#knative/admission/field-error.ts";
import { type Destination, validateDestination, withDestinationDefaults } from "#knative/destination.ts";
import { validateTemplate } from "./channel-admission.ts";
import { type EventingAdmission, type EventingAdmissionContext, namespaceOf, referenceRules } from "./context.ts";
import { validateDelivery } from "./delivery-admission.ts";

export const sequenceAdmission: EventingAdmission<Sequence> = {
  withDefaults(sequence, _before, context) {
    const namespace = namespaceOf(sequence);
    const { spec = {} } = sequence;
    return {
      ...sequence,
      spec: {
        ...spec,
        ...templateOf(spec.channelTemplate, namespace, context),
        ...replyOf(spec.reply, namespace),
        ...(spec.steps === undefined
          ? {}
          : { steps: spec.steps.map((step) => withDestinationDefaults(step, namespace)) }),
      },
    };
  },

  validate({ spec = {} }, _before, context) {
    const { steps = [], channelTemplate, reply } = spec;
    return viaField("spec", [
      ...(steps.length === 0 ? [missingField("steps")] : []),
      ...steps.flatMap((step, index) =>
        validateStep(step, context).length === 0 ? [] : [invalidArrayValue(step, "steps", index)],
      ),
      ...validateTemplate(channelTemplate),
      ...viaField("reply", validateDestination(reply, referenceRules(context))),
    ]);
  },
};

export const parallelAdmission: EventingAdmission<Parallel> = {
  withDefaults(parallel, _before, context) {
    const namespace = namespaceOf(parallel);
    const { spec = {} } = parallel;
    return {
      ...parallel,
      spec: {
        ...spec,
        ...templateOf(spec.channelTemplate, namespace, context),
        ...replyOf(spec.reply, namespace),
        ...(spec.branches === undefined
          ? {}
          : { branches: spec.branches.map((branch) => branchWithDefaults(branch, namespace)) }),
      },
    };
  },

  validate({ spec = {} }, _before, context) {
    const { branches = [], channelTemplate, reply } = spec;
    return viaField("spec", [
      ...(branches.length === 0 ? [missingField("branches")] : []),
      ...branches.flatMap((branch, index) => validateBranch(branch, index, context)),
      ...validateTemplate(channelTemplate),
      ...viaField("reply", validateDestination(reply, referenceRules(context))),
    ]);
  },
};

function templateOf(
  given: ChannelTemplate | undefined,
  namespace: string,
  { config }: EventingAdmissionContext,
): { readonly channelTemplate?: ChannelTemplate } {
  const template = given ?? findChannelTemplate(config.channelDefaults, namespace);
  return template === undefined ? {} : { channelTemplate: template };
}

function replyOf(reply: Destination | undefined, namespace: string): { readonly reply?: Destination } {
  return reply === undefined ? {} : { reply: withDestinationDefaults(reply, namespace) };
}

function branchWithDefaults(branch: ParallelBranch, namespace: string): ParallelBranch {
  const { filter, subscriber, reply } = branch;
  return {
    ...branch,
    ...(filter === undefined ? {} : { filter: withDestinationDefaults(filter, namespace) }),
    ...(subscriber === undefined ? {} : { subscriber: withDestinationDefaults(subscriber, namespace) }),
    ...replyOf(reply, namespace),
  };
}

function validateStep(step: SequenceStep, context: EventingAdmissionContext): readonly FieldError[] {
  return [...validateDestination(step, referenceRules(context)), ...validateDelivery(step.delivery, context)];
}

function validateBranch(
  branch: ParallelBranch,
  index: number,
  context: EventingAdmissionContext,
): readonly FieldError[] {
  const { filter, subscriber = {}, reply, delivery } = branch;
  const check = (destination: Destination | undefined, field: string) =>
    validateDestination(destination, referenceRules(context)).length === 0
      ? []
      : [invalidArrayValue(branch, `branches.${field}`, index)];
  return [
    ...check(filter, "filter"),
    ...check(subscriber, "subscriber"),
    ...check(reply, "reply"),
    ...viaField(`branches[${index}].delivery`, validateDelivery(delivery, context)),
  ];
}
