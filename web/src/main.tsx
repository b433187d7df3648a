import "./theme/tokens.css";
import "./theme/base.css";
import "./theme/components.css";
import "./shell/shell.css";
import "./theme/theme";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const place = document.getElementById("page");
if (place) {
  createRoot(place).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
