use std::time::Duration;

use super::*;
use crate::process::encoding::Encoding;
use crate::process::formats::Format;
use crate::process::groups::Cutter;
use crate::process::lines::Rest;
use crate::process::multiline::{Multiline, Rule};

/// The events of a text, whose own are parted by lines of `%%`.
#[track_caller]
fn check(languages: &[Language], text: &str) {
    let multiline = Multiline { rule: Rule::Traces(languages.to_vec()), timeout: Duration::from_secs(1) };
    let expected: Vec<&str> = text.split("%%\n").map(|event| event.trim_matches('\n')).collect();
    let bytes = text.replace("%%\n", "");
    let cutter = Cutter {
        encoding: Encoding::Utf8,
        format: Format::Plain,
        multiline: Some(&multiline),
        max_text: 64 << 10,
        max_line: 64 << 10,
        max_extent: 64 << 10,
    };
    let groups = cutter.cut(bytes.as_bytes(), 0, Rest::IsAll);
    let found: Vec<&str> = groups.groups.iter().map(|group| &*group.text).collect();
    assert_eq!(found, expected);
}

#[test]
fn traces_of_java() {
    check(
        &[Language::Java],
        "2026-11-29 10:00:00 INFO starting
%%
2026-11-29 10:00:01 ERROR request failed
%%
Exception in thread \"main\" java.lang.IllegalStateException: A book has a null property
\tat com.example.myproject.Author.getBookIds(Author.java:38)
\tat com.example.myproject.Bootstrap.main(Bootstrap.java:14)
\tSuppressed: java.io.IOException: while closing
\t\tat com.example.Resource.close(Resource.java:26)
\t\t... 1 more
Caused by: org.postgresql.util.PSQLException: ERROR: duplicate key value violates unique constraint \"books\"
  Detail: Key (id)=(17) already exists.
\tat org.postgresql.core.v3.QueryExecutorImpl.receive(QueryExecutorImpl.java:2103)
\tat app//com.example.Book.getId(Book.java:22) ~[app.jar:1.0]
\tat jdk.internal.reflect.GeneratedMethodAccessor17.invoke(Unknown Source)
\t... 17 common frames omitted
Caused by: com.example.Cause
\t[CIRCULAR REFERENCE: com.example.Cause]
%%
2026-11-29 10:00:02 INFO going on
%%
javax.servlet.ServletException: Something bad happened
    at com.example.myproject.OpenSessionInViewFilter.doFilter(OpenSessionInViewFilter.java:60)

    at org.mortbay.jetty.HttpConnection.handleRequest(HttpConnection.java:542)
Wrapped by: java.lang.Error
    at com.example.Main.main(Main.java:1)
%%
2026-11-29 10:00:03 WARN failed: IOException: broken pipe
%%
2026-11-29 10:00:04 INFO Exceptions are fine
%%
\tat com.example.Lost.head(Lost.java:1)
\tat com.example.Lost.second(Lost.java:2)
%%
last
",
    );
}

#[test]
fn traces_of_go() {
    check(
        &[Language::Go],
        "2026/11/29 10:00:00 starting
%%
panic: runtime error: invalid memory address or nil pointer dereference [recovered]
\tpanic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1044cdb]

goroutine 1 [running]:
main.(*T).explode(0x0, {0xc00001c0a0, 0x1})
\t/src/main.go:9 +0x1d
main.Map[...](...)
\t/src/main.go:17
created by net/http.(*Server).Serve in goroutine 1
\t/usr/lib/go/src/net/http/server.go:3285 +0x4b4

goroutine 18 [chan receive, 2 minutes, locked to thread]:
main.main.func1()
\t/src/main.go:20 +0x25
...additional frames elided...
exit status 2
%%
2026/11/29 10:00:01 http: panic serving [::1]:54143: test panic
goroutine 24 [running]:
net/http.(*conn).serve.func1(0xc00007eaa0)
\t/usr/lib/go/src/net/http/server.go:1746 +0xd0
panic(0x12472a0, 0x12ece10)
\t/usr/lib/go/src/runtime/panic.go:513 +0x1b9
%%
2026/11/29 10:00:02 served /a (200)
%%
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [select (no cases)]:
main.main()
\t/src/main.go:5 +0x17
goroutine 3 [running]:
main.f(0x1)
\t/src/main.go:6 +0x1
%%
2026/11/29 10:00:03 done
",
    );
}

#[test]
fn traces_of_python() {
    check(
        &[Language::Python],
        "INFO:root:starting
%%
Traceback (most recent call last):
  File \"/app/main.py\", line 3, in first
    return {}[\"a\"]
           ~~^^^^^
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/app/main.py\", line 9, in <module>
    second()
  [Previous line repeated 996 more times]
  File \"/app/main.py\", line 7, in second
    raise app.errors.NotFound(\"no\") from error
app.errors.NotFound: no
%%
It was looked for
%%
INFO:root:going on
%%
ERROR:root:failed Traceback (most recent call last):
  File \"/app/main.py\", line 1, in <module>
    1 / 0
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File \"/app/main.py\", line 2, in <module>
    wait()
KeyboardInterrupt
%%
DEBUG:root:between
%%
  + Exception Group Traceback (most recent call last):
  |   File \"<stdin>\", line 1, in <module>
  | ExceptionGroup: eg (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
%%
Traceback (most recent call last):
  File \"/app/main.py\", line 4, in <module>
    Model()
pydantic_core._pydantic_core.ValidationError: 1 validation error for Model
  Field required [type=missing]
%%
last
",
    );
}

/// The head of another language's trace does not belong to a trace.
#[test]
fn several_languages_go_side_by_side() {
    check(
        &[Language::Java, Language::Go, Language::Python],
        "java.lang.Error: one
\tat a.B.c(B.java:1)
%%
Traceback (most recent call last):
  File \"a.py\", line 1, in <module>
ValueError: two
%%
panic: three

goroutine 1 [running]:
main.main()
\t/a.go:1 +0x1
%%
plain
",
    );
}
