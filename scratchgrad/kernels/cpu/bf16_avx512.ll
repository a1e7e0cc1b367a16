; Three loops for `bf16_avx512.py`, which says how the operands lie in memory. Sizes and strides count elements.
; Neighbouring lines that name {r} stand for one such group of lines for each of the 8 rows; a line that names {v}, for one
; line for each of the 3 vectors of 16 columns.

declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
declare <16 x float> @llvm.masked.load.v16f32.p0(ptr, i32, <16 x i1>, <16 x float>)
declare void @llvm.masked.store.v16f32.p0(<16 x float>, ptr, i32, <16 x i1>)
declare <8 x i16> @llvm.masked.load.v8i16.p0(ptr, i32, <8 x i1>, <8 x i16>)
declare i64 @llvm.smin.i64(i64, i64)


; out[i] = x[i] in bf16, to the nearest. LLVM makes vectors of it.

define void @round_to_bf16(ptr noalias %x, ptr noalias %out, i64 %count) {
entry:
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr bfloat, ptr %out, i64 %i
  %value = load float, ptr %from, align 4
  %rounded = fptrunc float %value to bfloat
  store bfloat %rounded, ptr %to, align 2
  %i.next = add nsw i64 %i, 1
  br label %test
done:
  ret void
}


; out[column / width][p][column % width] = (x[2 p][column], x[2 p + 1][column]) for p in first..last and every column of
; x (depth, columns), 8 columns at a time. Where x ends, zeros are read.

define void @pair_rows(ptr noalias %x, i64 %depth, i64 %columns, ptr noalias %out, i64 %width, i64 %first, i64 %last) {
entry:
  %depth.odd = add i64 %depth, 1
  %pairs = sdiv i64 %depth.odd, 2
  br label %columns.test
columns.test:
  %j = phi i64 [ 0, %entry ], [ %j.next, %columns.done ]
  %j.more = icmp slt i64 %j, %columns
  br i1 %j.more, label %columns.body, label %done
columns.body:
  %left = sub i64 %columns, %j
  %left.one = insertelement <8 x i64> poison, i64 %left, i32 0
  %left.all = shufflevector <8 x i64> %left.one, <8 x i64> poison, <8 x i32> zeroinitializer
  %upper = icmp slt <8 x i64> <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7>, %left.all
  %group = sdiv i64 %j, %width
  %group.start = mul i64 %group, %pairs
  %inside = srem i64 %j, %width
  br label %pairs.test
pairs.test:
  %p = phi i64 [ %first, %columns.body ], [ %p.next, %pairs.body ]
  %p.more = icmp slt i64 %p, %last
  br i1 %p.more, label %pairs.body, label %columns.done
pairs.body:
  %row = mul i64 %p, 2
  %row.below = add i64 %row, 1
  %row.start = mul i64 %row, %columns
  %at = add i64 %row.start, %j
  %at.below = add i64 %at, %columns
  %from = getelementptr i16, ptr %x, i64 %at
  %from.below = getelementptr i16, ptr %x, i64 %at.below
  %is.there = icmp slt i64 %row.below, %depth
  %lower = select i1 %is.there, <8 x i1> %upper, <8 x i1> zeroinitializer
  %a = call <8 x i16> @llvm.masked.load.v8i16.p0(ptr %from, i32 2, <8 x i1> %upper, <8 x i16> zeroinitializer)
  %b = call <8 x i16> @llvm.masked.load.v8i16.p0(ptr %from.below, i32 2, <8 x i1> %lower, <8 x i16> zeroinitializer)
  %ab = shufflevector <8 x i16> %a, <8 x i16> %b, <16 x i32> <i32 0, i32 8, i32 1, i32 9, i32 2, i32 10, i32 3, i32 11, i32 4, i32 12, i32 5, i32 13, i32 6, i32 14, i32 7, i32 15>
  %group.row = add i64 %group.start, %p
  %line = mul i64 %group.row, %width
  %place = add i64 %line, %inside
  %to = getelementptr i32, ptr %out, i64 %place
  store <16 x i16> %ab, ptr %to, align 4
  %p.next = add nsw i64 %p, 1
  br label %pairs.test
columns.done:
  %j.next = add nsw i64 %j, 8
  br label %columns.test
done:
  ret void
}


; c[r][j] = sum over p of a[r][p] . b[j][p], for r in 0..rows and j in 0..columns, `depth` pairs at a time. Below the last
; row, that row is computed again and again; behind the last column, nothing is stored.

define void @multiply(ptr noalias %a, i64 %group, i64 %row, i64 %pair, ptr noalias %b, i64 %pairs, ptr noalias %c, i64 %rows, i64 %columns, i64 %depth) {
entry:
  br label %depth.test
depth.test:
  %k = phi i64 [ 0, %entry ], [ %k.next, %depth.done ]
  %k.more = icmp slt i64 %k, %pairs
  br i1 %k.more, label %depth.body, label %done
depth.body:
  %k.left = sub i64 %pairs, %k
  %count = call i64 @llvm.smin.i64(i64 %k.left, i64 %depth)
  %k.skipped = mul i64 %k, %pair
  %is.first = icmp eq i64 %k, 0
  br label %panel.test

panel.test:
  %j = phi i64 [ 0, %depth.body ], [ %j.next, %panel.done ]
  %j.more = icmp slt i64 %j, %columns
  br i1 %j.more, label %panel.body, label %depth.done
panel.body:
  %left = sub i64 %columns, %j
  %left{v} = sub i64 %left, {16v}
  %few{v} = call i64 @llvm.smin.i64(i64 %left{v}, i64 16)
  %short{v} = trunc i64 %few{v} to i32
  %one{v} = insertelement <16 x i32> poison, i32 %short{v}, i32 0
  %all{v} = shufflevector <16 x i32> %one{v}, <16 x i32> poison, <16 x i32> zeroinitializer
  %mask{v} = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %all{v}
  %panel.start = mul i64 %j, %pairs
  %panel.skipped = mul i64 %k, 48
  %panel.at = add i64 %panel.start, %panel.skipped
  %panel = getelementptr i32, ptr %b, i64 %panel.at
  br label %rows.test

rows.test:
  %i = phi i64 [ 0, %panel.body ], [ %i.next, %rows.done ]
  %g = phi i64 [ %k.skipped, %panel.body ], [ %g.next, %rows.done ]
  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %rows.body, label %panel.done
rows.body:
  %rows.left = sub i64 %rows, %i
  %lowest = sub i64 %rows.left, 1
  %number{r} = call i64 @llvm.smin.i64(i64 {r}, i64 %lowest)
  %a.row{r} = mul i64 %number{r}, %row
  %a.at{r} = add i64 %a.row{r}, %g
  %a{r} = getelementptr i32, ptr %a, i64 %a.at{r}
  %c.row{r} = add i64 %number{r}, %i
  %c.start{r} = mul i64 %c.row{r}, %columns
  %c.at{r} = add i64 %c.start{r}, %j
  %c{r} = getelementptr float, ptr %c, i64 %c.at{r}
  %c{r}.{v} = getelementptr float, ptr %c{r}, i64 {16v}
  br i1 %is.first, label %pairs.body, label %again
again:
  %old{r}.{v} = call <16 x float> @llvm.masked.load.v16f32.p0(ptr %c{r}.{v}, i32 4, <16 x i1> %mask{v}, <16 x float> zeroinitializer)
  br label %pairs.body

pairs.body:
  %p = phi i64 [ 0, %rows.body ], [ 0, %again ], [ %p.next, %pairs.body ]
  %at = phi i64 [ 0, %rows.body ], [ 0, %again ], [ %at.next, %pairs.body ]
  %sum{r}.{v} = phi <16 x float> [ zeroinitializer, %rows.body ], [ %old{r}.{v}, %again ], [ %new{r}.{v}, %pairs.body ]
  %b.row = mul i64 %p, 48
  %b.pairs = getelementptr i32, ptr %panel, i64 %b.row
  %b.at{v} = getelementptr i32, ptr %b.pairs, i64 {16v}
  %b{v} = load <32 x bfloat>, ptr %b.at{v}, align 4
  %x.at{r} = getelementptr i32, ptr %a{r}, i64 %at
  %x{r} = load i32, ptr %x.at{r}, align 4
  %x.one{r} = insertelement <16 x i32> poison, i32 %x{r}, i32 0
  %x.all{r} = shufflevector <16 x i32> %x.one{r}, <16 x i32> poison, <16 x i32> zeroinitializer
  %x.pair{r} = bitcast <16 x i32> %x.all{r} to <32 x bfloat>
  %new{r}.{v} = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float> %sum{r}.{v}, <32 x bfloat> %x.pair{r}, <32 x bfloat> %b{v})
  %p.next = add nsw i64 %p, 1
  %at.next = add nsw i64 %at, %pair
  %p.more = icmp slt i64 %p.next, %count
  br i1 %p.more, label %pairs.body, label %rows.done

rows.done:
  call void @llvm.masked.store.v16f32.p0(<16 x float> %new{r}.{v}, ptr %c{r}.{v}, i32 4, <16 x i1> %mask{v})
  %i.next = add nsw i64 %i, 8
  %g.next = add nsw i64 %g, %group
  br label %rows.test
panel.done:
  %j.next = add nsw i64 %j, 48
  br label %panel.test
depth.done:
  %k.next = add nsw i64 %k, %depth
  br label %depth.test
done:
  ret void
}
