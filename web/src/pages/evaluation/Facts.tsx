import type { Evaluation } from "../../api/types";
import { Icon, type IconName } from "../../components/Icon";
import { Inert } from "../../guest/Inert";
import { evidence, type Fact, happened, stopped, tried, valid } from "../../live/summary";

const parts: { name: string; icon: IconName; of: (evaluation: Evaluation) => Fact }[] = [
  { name: "What happened", icon: "play", of: happened },
  { name: "What it tried", icon: "eye", of: tried },
  { name: "What stopped it", icon: "shield", of: stopped },
  { name: "Does the result count", icon: "check", of: valid },
  { name: "Evidence", icon: "seal", of: evidence },
];

/** The five things to know, in the order in which one asks for them. */
export function Facts({ evaluation }: { evaluation: Evaluation }) {
  return (
    <dl className="five">
      {parts.map(({ name, icon, of }) => {
        const fact = of(evaluation);
        return (
          <div key={name} className={`five-part tone-${fact.tone}`}>
            <dt>
              <Icon name={icon} />
              {name}
            </dt>
            <dd>
              <strong>
                <Inert text={fact.title} />
              </strong>
              <span>
                <Inert text={fact.words} />
              </span>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
