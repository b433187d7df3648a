/** What is around every page: the way to the others, how the service is, who asks, and whether it answers. */
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { reachable } from "../api/client";
import { key, keyRefused, signOut } from "../api/key";
import { queryClient, queue, useMe } from "../api/queries";
import { useStore } from "../api/store";
import type { Role } from "../api/types";
import { Button, ButtonLink } from "../components/controls";
import { chooseTheme, type ThemeChoice, themeChoice } from "../theme/theme";

interface Place {
  href: string;
  label: string;
  role: Role;
  within?: string;
}

const places: Place[] = [
  { href: "/", label: "Playground", role: "viewer" },
  { href: "/evaluations", label: "Evaluations", role: "viewer", within: "/evaluations" },
  { href: "/monitor", label: "Monitor", role: "viewer", within: "/monitor" },
  { href: "/isolation", label: "Isolation", role: "viewer", within: "/isolation" },
  { href: "/admin", label: "Admin", role: "admin", within: "/admin" },
];

const next: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const themeIcon = { system: "screen", light: "sun", dark: "moon" } as const;
const themeName = { system: "as the system", light: "light", dark: "dark" } as const;

function Pulse() {
  const { data } = useQuery(queue);
  if (!data) return null;
  const waiting = data.waiting + data.delayed;
  const busy = data.running > 0 || waiting > 0;
  const tone = data.flow === "open" ? (busy ? " busy" : "") : " warn";
  const words =
    data.flow === "paused"
      ? "paused"
      : data.flow === "draining"
        ? "draining"
        : busy
          ? `${data.running} running${waiting > 0 ? `, ${waiting} waiting` : ""}`
          : "idle";
  return (
    <Link href="/monitor" className={`button plain compact pulse${tone}`} aria-label={`The queue: ${words}`}>
      {words}
    </Link>
  );
}

export function Shell({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const { me, may } = useMe();
  const answers = useStore(reachable);
  const secret = useStore(key);
  const choice = useStore(themeChoice);
  const main = useRef<HTMLElement>(null);
  const nav = useRef<HTMLElement>(null);
  const first = useRef(true);

  // On a phone the page that one is on would otherwise be beyond the edge.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page, or another role, is what it waits for
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [path, me?.role]);

  // A new page begins at its top, and a screen reader's focus with it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what it waits for
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [path]);

  return (
    <>
      <a className="button skip" href="#main">
        To the content
      </a>
      <header className="shell-head">
        <Link href="/" className="brand">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path
              className="vessel"
              d="M3 4h18v3h-1.6l-2.1 11.2A2.2 2.2 0 0 1 15.1 20H8.9a2.2 2.2 0 0 1-2.2-1.8L4.6 7H3z"
            />
            <path className="melt" d="M8 10h8l-1.2 6.2a.9.9 0 0 1-.9.8h-3.8a.9.9 0 0 1-.9-.8z" />
          </svg>
          Crucible
        </Link>
        <nav className="shell-nav" aria-label="Pages" ref={nav}>
          {places
            .filter((place) => place.role === "viewer" || may(place.role))
            .map((place) => {
              const here = place.within ? path.startsWith(place.within) : path === place.href;
              return (
                <Link key={place.href} href={place.href} aria-current={here ? "page" : undefined}>
                  {place.label}
                </Link>
              );
            })}
        </nav>
        <div className="shell-side">
          <Pulse />
          <Button
            look="plain"
            compact
            icon={themeIcon[choice]}
            aria-label={`Colours: ${themeName[choice]}. Change to ${themeName[next[choice]]}.`}
            onPress={() => chooseTheme(next[choice])}
          />
          {me?.keys_required && secret === null && (
            <ButtonLink href="/sign-in" look="plain" compact icon="person">
              Sign in
            </ButtonLink>
          )}
          {secret !== null && (
            <Button
              look="plain"
              compact
              icon="person"
              aria-label={`Sign out${me ? ` (${me.role} of ${me.project})` : ""}`}
              onPress={() => {
                signOut();
                if (me?.keys_required) keyRefused.set(true);
                queryClient.clear();
              }}
            >
              {me?.role ?? "Key"}
            </Button>
          )}
        </div>
      </header>
      {!answers && (
        <div className="offline-bar" role="status">
          The service doesn't answer. What is shown may be old; the page tries again by itself.
        </div>
      )}
      <main id="main" className="page" ref={main} tabIndex={-1}>
        {children}
      </main>
    </>
  );
}
