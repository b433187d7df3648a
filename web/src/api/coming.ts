/**
 * Types of routes that the OpenAPI document doesn't have yet. Each goes away when `openapi.json` has its route:
 * the calls are in `queries.ts` alone.
 */
import type { Finding } from "./types";

export type Role = "viewer" | "submitter" | "reviewer" | "admin";

export interface Me {
  key: string | null;
  project: string;
  role: Role;
  keys_required: boolean;
  node: string;
  version: string;
}

export interface ScanReport {
  language: string | null;
  findings: Finding[];
  verdict?: string | null;
  decision: string;
  reasons: { decision: string; clause: string; message: string }[];
}

export interface PolicyName {
  name: string;
  title: string;
  origin: string;
}
