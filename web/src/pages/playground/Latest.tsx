import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { evaluations } from "../../api/queries";
import { ago, milliseconds, shortId } from "../../components/format";
import { Panel } from "../../components/Panel";
import { Badge } from "../../components/states";
import { standing } from "../../components/words";

/** What the platform did last: somebody who opens the page sees it at work. */
export function Latest() {
  const { data } = useQuery({
    queryKey: ["evaluations", "latest"],
    queryFn: () => evaluations({}, null, 6),
    refetchInterval: 3_000,
  });
  if (!data || data.evaluations.length === 0) return null;
  return (
    <div className="latest">
      <Panel title="Latest runs" flush aside={<Link href="/evaluations">All evaluations</Link>}>
        <ul>
          {data.evaluations.map((row) => {
            const stands = standing(row.state, row.status);
            return (
              <li key={row.id}>
                <Badge tone={stands.tone}>{stands.label}</Badge>
                <Link href={`/evaluations/${row.id}`} className="row-link mono">
                  {shortId(row.id)}
                </Link>
                <span className="soft">{[row.language, row.backend].filter(Boolean).join(" on ")}</span>
                <span className="grow" />
                <span className="soft number">{row.wall_ms == null ? "" : milliseconds(row.wall_ms)}</span>
                <span className="soft number latest-ago">{ago(row.created_at)}</span>
              </li>
            );
          })}
        </ul>
      </Panel>
    </div>
  );
}
