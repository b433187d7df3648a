/** The types of the interface by short names. All come from the OpenAPI document. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Evaluation = Schemas["Evaluation"];
export type EvaluationSummary = Schemas["EvaluationSummary"];
export type EvaluationState = Schemas["EvaluationState"];
export type Outcome = Schemas["Outcome"];
export type Status = Schemas["Status"];
export type Finding = Schemas["Finding"];
export type Behavior = Schemas["Behavior"];
export type Layer = Schemas["Layer"];
export type Sample = Schemas["Sample"];
export type SubmitEvaluation = Schemas["SubmitEvaluation"];
export type SubmittedFile = Schemas["SubmittedFile"];
export type Me = Schemas["Me"];
export type ScannedProgram = Schemas["ScannedProgram"];
export type PolicyEntry = Schemas["PolicyEntry"];
export type Role = "viewer" | "submitter" | "reviewer" | "admin";
export type HttpProblem = Schemas["HttpProblem"];
export type QueueReport = Schemas["QueueReport"];
export type BackendList = Schemas["BackendList"];
export type EvaluationEvent = Omit<Schemas["EvaluationEvent"], "data"> & { data: Record<string, unknown> };

/** States in which nothing more will happen. */
export function isFinal(state: EvaluationState): boolean {
  return state === "finished" || state === "failed" || state === "cancelled" || state === "dead";
}
