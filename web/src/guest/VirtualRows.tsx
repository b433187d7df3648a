/**
 * Rows of one height, of which only those in view are in the document. A browser's elements can't be taller than
 * some 30 million pixels, so above 12 million the scrollbar stands for a part of the rows instead of pixels.
 */
import { type ReactNode, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

const TALLEST = 12_000_000;
const BEYOND = 8;

export function VirtualRows(props: {
  count: number;
  rowHeight: number;
  label: string;
  /** Whether the view stays at the end while rows are added. */
  followEnd?: boolean;
  className?: string;
  children: (from: number, to: number) => ReactNode;
}) {
  const { count, rowHeight, followEnd = false } = props;
  const scroller = useRef<HTMLElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const atEnd = useRef(true);

  const whole = count * rowHeight;
  const height = Math.min(whole, TALLEST);

  const look = useCallback(() => {
    const element = scroller.current;
    if (!element) return;
    atEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - rowHeight * 1.5;
    setView((before) =>
      before.top === element.scrollTop && before.height === element.clientHeight
        ? before
        : { top: element.scrollTop, height: element.clientHeight },
    );
  }, [rowHeight]);

  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => observer.disconnect();
  }, [look]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new row is what moves the view
  useLayoutEffect(() => {
    const element = scroller.current;
    if (followEnd && atEnd.current && element) element.scrollTop = element.scrollHeight;
  }, [count, followEnd]);

  const inView = Math.ceil(view.height / rowHeight) + 1;
  const scaled = whole > height;
  const room = Math.max(height - view.height, 1);
  const top = Math.min(view.top, room);
  const first = scaled
    ? Math.round((top / room) * Math.max(count - inView + 1, 0))
    : Math.floor(top / rowHeight);
  const from = Math.max(0, first - BEYOND);
  const to = Math.min(count, first + inView + BEYOND);
  const offset = scaled ? top - (first - from) * rowHeight : from * rowHeight;

  return (
    <section
      ref={scroller}
      className={`virtual ${props.className ?? ""}`}
      aria-label={props.label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
      tabIndex={0}
      onScroll={look}
    >
      <div className="virtual-whole" style={{ height: Math.max(height, 1) }}>
        <div className="virtual-part" style={{ transform: `translateY(${Math.max(offset, 0)}px)` }}>
          {props.children(from, to)}
        </div>
      </div>
    </section>
  );
}
