import { inert } from "./inert";
import "./guest.css";

/** A text of a guest, or of anybody, that could hide or turn something: as text nodes, with marks. */
export function Inert({ text }: { text: string }) {
  const pieces = inert(text);
  if (pieces.length === 1 && !pieces[0]?.mark) return <bdi>{text}</bdi>;
  return (
    <bdi>
      {pieces.map((piece, at) =>
        piece.mark ? (
          <span key={at} className="mark">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}
