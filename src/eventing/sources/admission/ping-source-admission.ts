/**
 * Defaulting and validation of PingSources. As upstream's `pkg/apis/sources/v1/ping_*.go` (v1.22).
 */
import type { EventingAdmission } from "#eventing/admission/context.ts";
import type { PingSource, PingSourceSpec } from "#eventing/sources/kinds.ts";
import { parsePingSchedule, ScheduleError } from "#eventing/sources/ping-schedule.ts";
import { type FieldError, invalidValue, multipleOneOf, viaField } from "#knative/admission/field-error.ts";
import { validateSourceSpec, withSinkDefaults } from "./source-validation.ts";

/** Largest data of an event, as it is written. Upstream has no bound unless one is configured. */
const maxDataCharacters = 1_048_576;

export const pingSourceAdmission: EventingAdmission<PingSource> = {
  withDefaults(source) {
    const { spec = {} } = source;
    return withSinkDefaults({ ...source, spec: { ...spec, schedule: spec.schedule || "* * * * *" } });
  },
  validate: ({ spec = {} }, _before, context) =>
    viaField("spec", [...validateSchedule(spec), ...validateData(spec), ...validateSourceSpec(spec, context)]),
};

function validateSchedule({ schedule = "", timezone }: PingSourceSpec): readonly FieldError[] {
  try {
    parsePingSchedule(schedule, timezone);
    return [];
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return [invalidValue(error.message, error.field)];
  }
}

function validateData({ data = "", dataBase64 = "", contentType }: PingSourceSpec): readonly FieldError[] {
  if (data !== "" && dataBase64 !== "") return [multipleOneOf("data", "dataBase64")];
  const [field, text] = dataBase64 === "" ? ["data", data] : ["dataBase64", dataBase64];
  if (text === "") return [];
  if (text.length > maxDataCharacters)
    return [
      invalidValue(`the ${field} length of ${text.length} bytes exceeds limit set at ${maxDataCharacters}.`, field),
    ];
  if (field === "dataBase64" && !isBase64(text)) return [invalidValue("illegal base64 data", field)];
  const content = field === "data" ? text : Buffer.from(text, "base64").toString("utf8");
  return contentType === "application/json" ? validateJson(content, field) : [];
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/** An object: anything else is not taken for JSON by upstream either. */
function validateJson(text: string, field: string): readonly FieldError[] {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && !Array.isArray(value)) return [];
    return [invalidValue("it must be a JSON object", field)];
  } catch (error) {
    return [invalidValue(error instanceof Error ? error.message : String(error), field)];
  }
}
