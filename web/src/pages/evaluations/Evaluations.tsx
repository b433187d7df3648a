/** All evaluations: filters, search, selection to compare, and what happens while one looks. */
import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { useEvents } from "../../api/events";
import { backends, evaluations, type ListFilter } from "../../api/queries";
import type { EvaluationSummary } from "../../api/types";
import { Button, ButtonLink, Field, Select } from "../../components/controls";
import { Empty, Failure, Loading } from "../../components/states";
import { stateChoices, statusChoices } from "../../components/words";
import { useTitle } from "../../shell/title";
import { Rows } from "./Rows";
import "./evaluations.css";

const ANY = "any";
const NAMES = ["state", "status", "backend", "validity", "verdict", "label", "search", "order"] as const;
/** What changes a row of the list. */
const KINDS = "submitted,started,held,approved,rejected,finished,failed,cancelled,dead,put_back,retried";

function useFilter(): [ListFilter, (name: keyof ListFilter, value: string) => void] {
  const [params, setParams] = useSearchParams();
  const filter = useMemo(() => {
    const found: Record<string, string> = {};
    for (const name of NAMES) {
      const value = params.get(name);
      if (value) found[name] = value;
    }
    return found as ListFilter;
  }, [params]);
  const set = useCallback(
    (name: keyof ListFilter, value: string) => {
      setParams(
        (before) => {
          const after = new URLSearchParams(before);
          if (value === "" || value === ANY) after.delete(name);
          else after.set(name, value);
          return after;
        },
        { replace: true },
      );
    },
    [setParams],
  );
  return [filter, set];
}

/** A text that is passed on when nothing was typed for a moment. */
function useSettled(value: string, settle: (value: string) => void): [string, (value: string) => void] {
  const [text, setText] = useState(value);
  const latest = useRef(settle);
  latest.current = settle;
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => latest.current(text), 250);
    return () => clearTimeout(timer);
  }, [text, value]);
  return [text, setText];
}

export default function Evaluations() {
  useTitle("Evaluations");
  const [filter, setFilter] = useFilter();
  const [, go] = useLocation();
  const [search, setSearch] = useSettled(filter.search ?? "", (value) => setFilter("search", value));
  const [label, setLabel] = useSettled(filter.label ?? "", (value) => setFilter("label", value));
  const [chosen, setChosen] = useState<string[]>([]);
  const cache = useQueryClient();

  const list = useInfiniteQuery({
    queryKey: ["evaluations", filter],
    queryFn: ({ pageParam }) => evaluations(filter, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor ?? null,
    placeholderData: keepPreviousData,
  });
  const known = useQuery(backends);

  // The firehose only says that something changed; the list itself is asked for anew, once in a while.
  const due = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(due.current), []);
  const stream = useEvents(`/v1/events?kind=${KINDS}`, () => {
    due.current ??= setTimeout(() => {
      due.current = undefined;
      void cache.invalidateQueries({ queryKey: ["evaluations"] });
    }, 700);
  });

  const rows: EvaluationSummary[] = useMemo(
    () => list.data?.pages.flatMap((page) => page.evaluations) ?? [],
    [list.data],
  );
  // A search looks through a part of all for each page, so a page may be empty and not the last.
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const searching = rows.length === 0 && hasNextPage;
  useEffect(() => {
    if (searching && !isFetchingNextPage) void fetchNextPage();
  }, [searching, isFetchingNextPage, fetchNextPage]);
  const filtered = Object.keys(filter).some((name) => name !== "order");

  const choose = (id: string): void => {
    setChosen((before) =>
      before.includes(id) ? before.filter((other) => other !== id) : [...before.slice(-1), id],
    );
  };

  return (
    <>
      <div className="page-head">
        <h1 className="grow">Evaluations</h1>
        <span className={`live live-${stream}`} role="status">
          {stream === "live" ? "Live" : stream === "offline" ? "Offline, reconnecting…" : "Connecting…"}
        </span>
        <ButtonLink href="/" icon="play" look="main">
          New
        </ButtonLink>
      </div>

      <section className="filters" aria-label="Filters">
        <Field
          label="Search"
          type="search"
          value={search}
          onChange={setSearch}
          placeholder="a piece of an id or of a label"
        />
        <Field label="Label" value={label} onChange={setLabel} placeholder="name=value" />
        <Select
          label="State"
          value={filter.state ?? ANY}
          onChange={(value) => setFilter("state", value)}
          choices={[{ value: ANY, label: "Any" }, ...stateChoices]}
        />
        <Select
          label="How it ended"
          value={filter.status ?? ANY}
          onChange={(value) => setFilter("status", value)}
          choices={[{ value: ANY, label: "Any" }, ...statusChoices]}
        />
        <Select
          label="Backend"
          value={filter.backend ?? ANY}
          onChange={(value) => setFilter("backend", value)}
          choices={[
            { value: ANY, label: "Any" },
            ...(known.data?.backends ?? []).map(({ backend }) => ({ value: backend, label: backend })),
          ]}
        />
        <Select
          label="Result"
          value={filter.validity ?? ANY}
          onChange={(value) => setFilter("validity", value)}
          choices={[
            { value: ANY, label: "Any" },
            { value: "valid", label: "Valid" },
            { value: "infrastructure_failure", label: "Crucible failed" },
            { value: "sabotage_suspected", label: "Sabotage suspected" },
          ]}
        />
        <Select
          label="Order"
          value={filter.order ?? "newest"}
          onChange={(value) => setFilter("order", value === "newest" ? "" : value)}
          choices={[
            { value: "newest", label: "Newest first" },
            { value: "oldest", label: "Oldest first" },
          ]}
        />
      </section>

      <section className="panel" aria-label="List" aria-busy={list.isFetching}>
        {list.isPending || searching ? (
          <Loading what="the evaluations" lines={8} />
        ) : list.isError ? (
          <Failure error={list.error} onRetry={() => void list.refetch()} />
        ) : rows.length === 0 ? (
          filtered ? (
            <Empty title="Nothing matches">
              <p>No evaluation is as these filters ask.</p>
              <Button onPress={() => go("/evaluations", { replace: true })}>Clear the filters</Button>
            </Empty>
          ) : (
            <Empty title="Nothing has been run yet">
              <p>
                Run something in the playground, or from a terminal with <code>crucible submit</code>.
              </p>
              <ButtonLink href="/" look="main" icon="play">
                Open the playground
              </ButtonLink>
            </Empty>
          )
        ) : (
          <Rows rows={rows} chosen={chosen} onChoose={choose} onOpen={(id) => go(`/evaluations/${id}`)} />
        )}
      </section>

      {hasNextPage && !searching && (
        <div className="more">
          <Button onPress={() => void list.fetchNextPage()} isDisabled={list.isFetchingNextPage}>
            {list.isFetchingNextPage ? "Loading…" : "Show more"}
          </Button>
        </div>
      )}

      {chosen.length > 0 && (
        <section className="chosen" aria-label="Selection">
          <span className="grow">
            {chosen.length === 1 ? "One selected. Select another to compare." : "Two selected."}
          </span>
          <Button compact look="plain" onPress={() => setChosen([])}>
            Clear
          </Button>
          <Button
            compact
            look="main"
            icon="sides"
            isDisabled={chosen.length !== 2}
            onPress={() => go(`/compare?a=${chosen[0]}&b=${chosen[1]}`)}
          >
            Compare
          </Button>
        </section>
      )}
    </>
  );
}
