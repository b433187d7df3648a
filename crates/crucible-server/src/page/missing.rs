//! What is shown where this program was built without its page.

use super::File;

const TEXT: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Crucible</title></head>
<body>
<h1>Crucible</h1>
<p>The service runs. This program was built without its page.</p>
<p>To get it, run <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code> and build Crucible again, or set
<code>serve.page</code> to a folder with a page that was built.</p>
<p>The interface is described at <a href=\"/docs/\">/docs</a> and in <a href=\"/openapi.json\">/openapi.json</a>.</p>
</body>
</html>
";

/// A page that says how to get the page.
pub(super) fn page() -> File {
    File { bytes: TEXT.into(), encoding: None, tag: None }
}
